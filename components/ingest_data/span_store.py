"""Spans as they were read once: typed rows and what was set aside, under the hash of all that decides them.

A span's folder takes its name when it is whole, so that whatever ends the reading, the spans before it stand.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Protocol

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, ValidationError

from components.ingest_data.dataset import STORED_ROWS
from mulgil.artifacts import Record, fingerprint_json, remove_directory, staged_directory
from mulgil.contract import ProjectFolder
from mulgil.contract.spans import Span
from mulgil.errors import InputError, TemporaryError, describe
from mulgil.home import home
from mulgil.source_code import fingerprint_source

# Where spans are kept for steps that share no disk, as on a cluster: an address in an object store.
URI_VARIABLE = "MULGIL_SPANS_URI"

_LEDGER = "ledger.json"
# What reads a span; a change there may read it in another way.
_CODE = (
    "components/ingest_data/*.py",
    "mulgil/contract/*.py",
    "mulgil/preprocessing/*.py",
    "mulgil/images.py",
    "mulgil/broken_rules.py",
)
_LIBRARIES = ("numpy", "pandas", "pillow", "pyarrow", "tzdata")
# What no ingestion came back for, such as spans read by an older dictionary. Chosen by eye.
_KEPT_SECONDS = 30 * 24 * 3600.0


class SpanRecord(Record):
    """What reading a span gave; it stands beside its rows.

    Attributes:
        rows_read: Rows in its files.
        rows_quarantined: Of them, those that are wrong.
        due: From when on reading it would give more: when its first row from the future no longer is one.
    """

    FILE: ClassVar[str] = "span.json"

    rows_read: int
    rows_quarantined: int
    due: datetime | None


class Ledger(Record):
    """The spans that the last ingestion knew, by name, and what stood for their content."""

    contents: dict[str, str] = Field(default_factory=dict)


class SpanPlace(Protocol):
    """Where spans are kept."""

    def find(self, key: str) -> Path | None:
        """Return a folder with the span of a key; `None` where there is none."""

    def keep(self, key: str, fill: Callable[[Path], None]) -> Path:
        """Have a folder filled and keep it under a key; return where it is now."""

    def read_ledger(self) -> Ledger:
        """Return what the last ingestion knew; nothing where there was none."""

    def write_ledger(self, ledger: Ledger) -> None:
        """Write what this ingestion knew."""


def open_place(project: ProjectFolder, location: str, scratch: Path) -> SpanPlace:
    """Return where the spans of a project's location are kept.

    Args:
        project: The project.
        location: Resolved.
        scratch: Folder for what is fetched from elsewhere.
    """
    name = f"{project.project.name}-{fingerprint_json(location)[:12]}"
    uri = os.environ.get(URI_VARIABLE, "")
    if uri:
        return StoredSpans(f"{uri.rstrip('/')}/{name}", scratch / "spans")
    return LocalSpans(home() / "spans" / name)


def key_of(folder: ProjectFolder, source: Mapping[str, Any], span: Span, contents: Mapping[str, str]) -> str:
    """Return the hash of all that decides what a span is read as.

    Args:
        folder: The project.
        source: How its files are written.
        span: Which it is.
        contents: What stands for its files' content, by name.
    """
    split = folder.project.split
    return fingerprint_json(
        {
            "source": {name: value for name, value in source.items() if name not in ("location", "spans")},
            "dictionary": folder.dictionary.fingerprint,
            # The rows' keys are kept beside them.
            "split": [split.kind, split.column],
            "span": [span.name, *contents.items()],
            "code": fingerprint_source(_CODE, _LIBRARIES),
        }
    )


class LocalSpans:
    """Spans in a folder of this machine.

    Args:
        root: The folder; it is made where it does not exist.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def find(self, key: str) -> Path | None:
        """Return a span's folder; one that is damaged is none."""
        folder = self._root / key
        if not _is_whole(folder):
            return None
        # Its age counts from its last use.
        os.utime(folder)
        return folder

    def keep(self, key: str, fill: Callable[[Path], None]) -> Path:
        """Have a folder filled that takes its name when it is whole."""
        with staged_directory(self._root / key) as staged:
            fill(staged)
        return self._root / key

    def read_ledger(self) -> Ledger:
        """Return the ledger; an empty one where it cannot be read."""
        with contextlib.suppress(InputError):
            return Ledger.read(self._root / _LEDGER)
        return Ledger()

    def write_ledger(self, ledger: Ledger) -> None:
        """Write the ledger, and remove what nobody came back for."""
        ledger.write(self._root / _LEDGER)
        for folder in self._root.iterdir():
            # Another ingestion may be removing the same.
            with contextlib.suppress(FileNotFoundError):
                if folder.is_dir() and time.time() - folder.stat().st_mtime > _KEPT_SECONDS:
                    remove_directory(folder)


class StoredSpans:
    """Spans in an object store; its record is put there last, and without it a span is not there.

    Args:
        url: Of them all.
        scratch: Folder on this machine for those that are used.
    """

    def __init__(self, url: str, scratch: Path) -> None:
        self._url = url
        self._scratch = scratch

    def find(self, key: str) -> Path | None:
        """Fetch a span; one that is damaged is none."""
        folder = self._scratch / key
        with _reached(self._url):
            store, root = fsspec.core.url_to_fs(self._url)
            if not store.exists(f"{root}/{key}/{SpanRecord.FILE}"):
                return None
            for name in store.find(f"{root}/{key}"):
                file = folder / name.rpartition(f"/{key}/")[2]
                file.parent.mkdir(parents=True, exist_ok=True)
                store.get_file(name, str(file))
        return folder if _is_whole(folder) else None

    def keep(self, key: str, fill: Callable[[Path], None]) -> Path:
        """Have a folder filled, and put its files into the store."""
        folder = self._scratch / key
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        fill(folder)
        with _reached(self._url):
            store, root = fsspec.core.url_to_fs(self._url)
            files = [file for file in folder.rglob("*") if file.is_file()]
            for file in sorted(files, key=lambda file: file.name == SpanRecord.FILE):
                name = f"{root}/{key}/{file.relative_to(folder).as_posix()}"
                store.makedirs(name.rpartition("/")[0], exist_ok=True)
                store.put_file(str(file), name)
        return folder

    def read_ledger(self) -> Ledger:
        """Return the ledger; an empty one where there is none that can be read."""
        with _reached(self._url):
            store, root = fsspec.core.url_to_fs(self._url)
            if not store.exists(f"{root}/{_LEDGER}"):
                return Ledger()
            written = store.cat_file(f"{root}/{_LEDGER}")
        # One that is torn is no fault of the store's, and would be there at every ingestion.
        with contextlib.suppress(ValidationError):
            return Ledger.model_validate_json(written)
        return Ledger()

    def write_ledger(self, ledger: Ledger) -> None:
        """Write the ledger. What is old is for the store's own rules of how long it keeps things."""
        with _reached(self._url):
            store, root = fsspec.core.url_to_fs(self._url)
            store.makedirs(root, exist_ok=True)
            store.pipe_file(f"{root}/{_LEDGER}", ledger.model_dump_json().encode())


def _is_whole(folder: Path) -> bool:
    """Whether a folder has a span that can be taken over."""
    try:
        record = SpanRecord.read(folder / SpanRecord.FILE)
        with pq.ParquetFile(folder / STORED_ROWS) as file:
            rows = file.metadata.num_rows
        is_due = record.due is not None and record.due <= datetime.now(UTC)
        return not is_due and rows == record.rows_read - record.rows_quarantined
    except (InputError, OSError, pa.ArrowException):
        return False


@contextlib.contextmanager
def _reached(url: str) -> Any:
    try:
        yield
    except Exception as exc:
        # Each object store has errors of its own, without a common base.
        raise TemporaryError(
            describe(
                "The spans that were read before cannot be reached",
                expected=f"an object store at {URI_VARIABLE}, with credentials for it in the environment",
                received=f"{url}: {type(exc).__name__}: {exc}",
                next_step="correct it and run again",
            )
        ) from exc
