"""`mulgil init`: both files of a project, drafted from a table."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from mulgil.artifacts import write_text
from mulgil.cli.console import output
from mulgil.cli.table_options import EntityOption, EventTimestampOption, HeaderOption, TaskOption
from mulgil.contract import DICTIONARY_FILE, PROJECT_FILE, load_project
from mulgil.contract.spans import has_dates
from mulgil.errors import InputError, describe

# More than a person reads; a table of pixels has hundreds.
_IGNORED_SHOWN = 30


def init_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The project's folder; it may be new.")],
    source: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="SOURCE",
            help="CSV, JSON lines or Parquet: a file, a folder, a pattern in quotes, or a URL; "
            "a database's URL, such as sqlite:///rows.db; or a folder with a folder of images a class.",
        ),
    ],
    target: Annotated[
        str | None, typer.Option(help="The column to predict; of images their folder, without being asked.")
    ] = None,
    entity: EntityOption = None,
    event_timestamp: EventTimestampOption = None,
    task: TaskOption = None,
    header: HeaderOption = None,
    query: Annotated[
        str | None, typer.Option(help="The SELECT that gives the rows, where SOURCE is a database.")
    ] = None,
    is_overwriting: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
) -> None:
    """Draft a project in DIR from a table, so that `mulgil run DIR` can be tried at once."""
    _require_free(folder, is_overwriting=is_overwriting)
    draft = draft_to(folder, Asked(source, query, header, target, entity, event_timestamp, task))
    load_project(folder)
    _summarise(folder, draft)


@dataclass(frozen=True)
class Asked:
    """What a project is to be drafted of.

    Attributes:
        source: Files or a database.
        query: The SELECT that gives a database's rows.
        header: The columns by commas, of files without a header line.
        target: The column to predict; `None` of a folder of images.
        entity: The column that says what a row is about.
        event_timestamp: The column that says when a row became true.
        task: The task.
    """

    source: str
    query: str | None
    header: str | None
    target: str | None
    entity: str | None
    event_timestamp: str | None
    task: str | None


def draft_to(folder: Path, asked: Asked) -> Any:
    """Write both files of a project, drafted from a table, to a folder, and return the draft.

    Raises:
        InputError: The table cannot be read, or a column cannot be what it is named for.
        TemporaryError: A server did not answer.
    """
    # Imported here, because pandas and Arrow take a second that other commands need not wait.
    from mulgil.drafting.names import name_project
    from mulgil.drafting.profile import profile_column
    from mulgil.drafting.project import Wishes, draft_project

    images = _images_at(asked)
    if images is not None:
        draft = _draft_images(folder, images, asked)
        _write(folder, draft)
        return draft
    if asked.target is None:
        raise InputError(
            describe(
                "A project predicts a column",
                expected="--target COLUMN; or a folder with a folder of images a class, without it",
                received=asked.source,
                next_step="name the column to predict: --target",
            )
        )
    table, collected_at = _read(folder, asked)
    decimal = str(table.source.get("decimal", "."))
    profiles = [profile_column(name, cells, decimal=decimal) for name, cells in table.columns.items()]
    draft = draft_project(
        name_project(folder.resolve().name),
        table.source,
        profiles,
        Wishes(asked.target, asked.entity, asked.event_timestamp, asked.task),
        "span" if has_dates(str(table.source.get("location", ""))) else f"{collected_at:%Y-%m-%d}T00:00:00Z",
        table.lines_of_utf8,
    )
    _write(folder, draft)
    return draft


def _write(folder: Path, draft: Any) -> None:
    from mulgil.drafting.text import render_dictionary, render_project

    write_text(folder / PROJECT_FILE, render_project(draft))
    write_text(folder / DICTIONARY_FILE, render_dictionary(draft))


def _images_at(asked: Asked) -> Path | None:
    """Return the folder of images that a project is to be drafted of, if it is one."""
    from components.ingest_data.locations import is_url, resolve
    from mulgil.drafting.images import is_image_folder

    # A database's URL is one too.
    if is_url(asked.source):
        return None
    path = Path(resolve(asked.source, Path.cwd()))
    return path if is_image_folder(path) else None


def _draft_images(folder: Path, images: Path, asked: Asked) -> Any:
    from mulgil.contract.sources import images_in
    from mulgil.drafting.images import LABEL, draft_images
    from mulgil.drafting.names import name_project

    given = {
        "--target": None if asked.target == LABEL else asked.target,
        "--entity": asked.entity,
        "--event-timestamp": asked.event_timestamp,
        "--header": asked.header,
        "--query": asked.query,
    }
    if any(given.values()):
        raise InputError(
            describe(
                "A folder of images has no such columns",
                expected=f"the folder alone; each image's first folder is its {LABEL}, which is predicted",
                received=", ".join(f"{option} {value}" for option, value in given.items() if value),
            )
        )
    newest = max(file.stat().st_mtime for file in images_in(images))
    collected_at = min(datetime.now(UTC), datetime.fromtimestamp(newest, UTC))
    source = {"kind": "image_folder", "location": _as_seen_from(folder, str(images))}
    return draft_images(
        name_project(folder.resolve().name),
        source,
        images,
        asked.task,
        f"{collected_at:%Y-%m-%d}T00:00:00Z",
    )


def _read(folder: Path, asked: Asked) -> tuple[Any, datetime]:
    """Read the table, with the keys that say where it is, and say when it was there at the latest."""
    from components.ingest_data.databases import describe_query, is_database
    from components.ingest_data.locations import is_url, resolve
    from components.ingest_data.undescribed import read_undescribed, read_undescribed_query
    from mulgil.contract.sources import files_at

    now = datetime.now(UTC)
    if is_database(asked.source):
        query = describe_query(asked.source, asked.query, Path.cwd())
        return read_undescribed_query(query, folder), now
    if asked.query is not None:
        raise InputError(
            describe(
                "A query goes to a database",
                expected="a database's URL, such as sqlite:///rows.db",
                received=f"--from {asked.source}",
                next_step="leave --query out, or name the database: --from",
            )
        )
    location = resolve(asked.source, Path.cwd())
    header = [name.strip() for name in asked.header.split(",")] if asked.header else None
    known = [name for name in (asked.target, asked.entity, asked.event_timestamp) if name]
    with tempfile.TemporaryDirectory() as scratch:
        table = read_undescribed(location, header, known, Path(scratch))
    kind, *others = table.source.items()
    written = {kind[0]: kind[1], "location": _as_seen_from(folder, location), **dict(others)}
    files = [] if is_url(location) else files_at(Path(location))
    changed = [datetime.fromtimestamp(file.stat().st_mtime, UTC) for file in files]
    return replace(table, source=written), min(now, max(changed, default=now))


def _as_seen_from(folder: Path, location: str) -> str:
    """Write a file of the folder relative to it, so that the folder can move; others as they are."""
    path, base = Path(location), folder.resolve()
    return os.path.relpath(path, base) if path.is_relative_to(base) else location


def _require_free(folder: Path, *, is_overwriting: bool) -> None:
    there = [name for name in (PROJECT_FILE, DICTIONARY_FILE) if (folder / name).exists()]
    if there and not is_overwriting:
        raise InputError(
            describe(
                f"{folder} is a project already",
                expected="a folder without " + " and ".join(there),
                received=f"DIR={folder.resolve()}",
                next_step="give another folder, or --force to replace them",
            )
        )


def _summarise(folder: Path, draft: Any) -> None:
    features = [column for column in draft.columns if column.role == "feature"]
    ignored = [column for column in draft.columns if column.role == "ignore"]
    todo = sum("TODO" in text for column in draft.columns for text in (*column.remarks, str(column.keys)))
    for role in ("target", "entity", "event_timestamp"):
        for column in draft.columns:
            if column.role == role:
                made = column.keys.get("derived") or column.keys.get("generated")
                output.print(f"{role:<16}{column.name}" + (f" = {made}" if made else ""), markup=False)
    output.print(f"{'task':<16}{draft.task}", markup=False)
    output.print(f"{'features':<16}{len(features)}", markup=False)
    by_reason: dict[str, list[str]] = {}
    for column in ignored[:_IGNORED_SHOWN]:
        reason = str(column.keys["description"]).removeprefix("Ignored: ")
        by_reason.setdefault(reason, []).append(column.name)
    for reason, names in by_reason.items():
        output.print(f"{'ignored':<16}{', '.join(names)}: {reason}", markup=False)
    if len(ignored) > _IGNORED_SHOWN:
        more = len(ignored) - _IGNORED_SHOWN
        output.print(f"{'ignored':<16}{more} more; the dictionary says why", markup=False)
    for decision in draft.decisions:
        output.print(f"{'to decide':<16}{decision}", markup=False)
    output.print()
    output.print(f"wrote {folder / PROJECT_FILE} and {folder / DICTIONARY_FILE}; {todo} TODO", markup=False)
    output.print(f"next: mulgil run {folder}", markup=False)
