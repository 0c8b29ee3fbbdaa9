"""From the project's `source`, or what replaces it, to a raw table."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from components.ingest_data.csv_source import read_csv
from components.ingest_data.image_folder import read_image_folder
from components.ingest_data.images import gather_pixels
from components.ingest_data.joining import join_tables
from components.ingest_data.json_lines_source import read_json_lines
from components.ingest_data.locations import fetch_location, is_url, resolve
from components.ingest_data.parquet_source import read_parquet
from components.ingest_data.python_source import read_python
from components.ingest_data.sql_source import read_sql
from components.ingest_data.table import RawTable
from mulgil.contract import ProjectFolder
from mulgil.contract.dictionary import DataDictionary
from mulgil.contract.sources import (
    CsvSource,
    FileSource,
    FilesSource,
    ImageFolderSource,
    JsonLinesSource,
    ParquetSource,
    PythonSource,
    Source,
    SqlSource,
    explain_keeping_in_spans,
    files_at,
    is_in_spans,
    keeps_repeated,
)
from mulgil.contract.spans import explain_spans, has_spans
from mulgil.errors import InputError, describe

_PARQUET_SUFFIXES = {".parquet", ".pq"}
_CSV_SUFFIXES = {".csv", ".data", ".txt"}
_JSON_LINES_SUFFIXES = {".jsonl", ".ndjson"}


def read_source(folder: ProjectFolder, source: Source, scratch: Path) -> RawTable:
    """Read a source that does not come in spans.

    Args:
        folder: The project.
        source: The project's own, or what replaces it.
        scratch: Where a download goes; it must stay until the rows are read.

    Raises:
        InputError: The source is missing, or is not what the project says.
        TemporaryError: A server did not answer.
    """
    return gather_pixels(_read(source, folder, scratch), folder.dictionary)


def _read(source: Source, folder: ProjectFolder, scratch: Path) -> RawTable:
    if isinstance(source, PythonSource):
        return read_python(source, folder.path)
    if isinstance(source, SqlSource):
        return read_sql(source, folder.path)
    names = names_of_columns(folder.dictionary)
    location = resolve(source.location, folder.path)
    if isinstance(source, ImageFolderSource):
        return read_image_folder(location, scratch)
    files = fetch_location(location, scratch)
    if len(files) == 1:
        return read_file(source, files[0], location, names)
    return join_tables((read_file(source, file, str(file), names) for file in files), location)


def names_of_columns(dictionary: DataDictionary) -> tuple[str, ...]:
    """Return all names that the dictionary's columns may have in the source."""
    return tuple(
        name for column in dictionary.columns if column.is_in_source for name in column.names_in_source
    )


def read_file(source: FileSource, path: Path, location: str, names: Collection[str]) -> RawTable:
    """Read one file as a source says that its files are written.

    Args:
        source: The source.
        path: The file.
        location: What messages call it.
        names: Those that its columns may have.
    """
    match source:
        case ParquetSource():
            return read_parquet(path, location)
        case JsonLinesSource():
            return read_json_lines(path, location)
        case CsvSource():
            return read_csv(path, location, source, names)


def find_source(folder: ProjectFolder, replacement: str) -> Source:
    """Return the project's source, or what replaces it; the location of spans is resolved.

    Args:
        folder: The project.
        replacement: A path or URL that replaces the project's location; empty where nothing does.

    Raises:
        InputError: It cannot replace it.
    """
    source = choose_source(folder.project.source, replacement) if replacement else folder.project.source
    if is_in_spans(source) and isinstance(source, FilesSource):
        return source.model_copy(update={"location": resolve(source.location, folder.path)})
    return source


def choose_source(project: Source, replacement: str) -> Source:
    """Decide how what replaces the project's source is read.

    Its extension decides, and of a folder that of its first file; one that says nothing is read as the
    project's own file is.

    Args:
        project: The project's own source; a CSV file is divided as it says.
        replacement: A path or a pattern, from the working directory, or a URL.

    Raises:
        InputError: The project's source is no file, and the extension does not tell what this one is.
    """
    location = resolve(replacement, Path.cwd())
    # The project's own window chooses among its spans too.
    window = project.spans if isinstance(project, FilesSource) and has_spans(replacement) else None
    wrong = explain_spans(replacement, window)
    if wrong is not None:
        raise InputError(describe("The source cannot be read in spans", expected=wrong))
    if keeps_repeated(project) and has_spans(replacement):
        raise InputError(describe("The source cannot be read in spans", expected=explain_keeping_in_spans()))
    if isinstance(project, ImageFolderSource):
        return project.model_copy(update={"location": location})
    path = re.split("[?#]", location)[0] if is_url(location) else _first_file(location)
    suffix = PurePosixPath(path).suffix.lower()
    if suffix in _PARQUET_SUFFIXES:
        return ParquetSource(kind="parquet", location=location, spans=window)
    if suffix in _JSON_LINES_SUFFIXES:
        return JsonLinesSource(kind="json_lines", location=location, spans=window)
    if isinstance(project, CsvSource):
        return project.model_copy(update={"location": location})
    if suffix in _CSV_SUFFIXES:
        return CsvSource(kind="csv", location=location, spans=window)
    if isinstance(project, ParquetSource | JsonLinesSource):
        return project.model_copy(update={"location": location})
    raise InputError(
        describe(
            f"This cannot stand in for a project's {project.kind} source",
            expected="a file that ends in "
            + ", ".join(sorted(_CSV_SUFFIXES | _PARQUET_SUFFIXES | _JSON_LINES_SUFFIXES)),
            received=f"source={replacement}",
        )
    )


def _first_file(location: str) -> str:
    files = files_at(Path(location))
    return str(files[0]) if files else location


def describe_source(source: Source) -> str:
    """Say where a project itself takes its rows from."""
    match source:
        case PythonSource():
            return source.function
        case SqlSource():
            return source.url
    return source.location
