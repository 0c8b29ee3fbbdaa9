"""`mulgil explore`: a table as a page, before anything is learned of it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from mulgil.artifacts import write_text
from mulgil.cli.console import output
from mulgil.cli.init import Asked, draft_to
from mulgil.cli.table_options import EntityOption, EventTimestampOption, HeaderOption, TaskOption
from mulgil.contract import DICTIONARY_FILE, PROJECT_FILE, ProjectFolder, load_project
from mulgil.errors import InputError, describe


def explore_command(
    table: Annotated[
        str,
        typer.Argument(metavar="TABLE", help="A project's folder, or a source as for `init`."),
    ],
    target: Annotated[
        str | None, typer.Option(help="The column to predict, where TABLE is no project.")
    ] = None,
    entity: EntityOption = None,
    event_timestamp: EventTimestampOption = None,
    task: TaskOption = None,
    header: HeaderOption = None,
    query: Annotated[
        str | None, typer.Option(help="The SELECT that gives the rows, where TABLE is a database.")
    ] = None,
    path: Annotated[Path, typer.Option("--output", help="File to write.")] = Path("explore.html"),
) -> None:
    """Write what TABLE holds, and what of it would mislead a model, as a page that needs no network."""
    with tempfile.TemporaryDirectory() as scratch:
        if (Path(table) / PROJECT_FILE).is_file():
            _refuse_options(table, target=target, entity=entity, event_timestamp=event_timestamp, task=task)
            folder = load_project(Path(table))
            name = folder.project.name
        else:
            drafted = Path(scratch) / "drafted"
            draft_to(drafted, Asked(table, query, header, target, entity, event_timestamp, task))
            folder = load_project(drafted)
            name = table.rpartition("/")[2] or table
        suggestions = _write(name, folder, Path(scratch), path)
    for topic, text, remedy in suggestions:
        output.print(f"{topic:<12}{text}\n{'':<12}To do: {remedy}", markup=False)
    output.print(f"wrote {path}", markup=False)


def _write(name: str, folder: ProjectFolder, scratch: Path, path: Path) -> list[tuple[str, str, str]]:
    # Imported here, because scikit-learn and Arrow take seconds that other commands need not wait.
    from components.ingest_data.described import read_described
    from mulgil.broken_rules import check_table
    from mulgil.exploration.findings import explore
    from mulgil.exploration.of_project import explored_table
    from mulgil.reports.exploration_page import render_exploration_page

    table = read_described(folder, scratch)
    explored = explored_table(folder.dictionary, table.columns, table.newest_span, table.newest_rows)
    checked = check_table(folder.dictionary, table.columns)
    findings = explore(explored, [str(found) for found in checked if found.broken])
    write_text(path, render_exploration_page(name, explored, findings))
    return [(found.topic, found.text, found.remedy) for found in findings.suggestions]


def _refuse_options(table: str, **options: str | None) -> None:
    given = [f"--{name.replace('_', '-')} {value}" for name, value in options.items() if value is not None]
    if given:
        raise InputError(
            describe(
                "A project says itself what its columns are",
                expected=f"a change in {Path(table) / DICTIONARY_FILE}",
                received=", ".join(given),
            )
        )
