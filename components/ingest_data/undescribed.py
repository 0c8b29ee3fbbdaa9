"""Reading a table of which nothing is known yet: every column, with how the source is written."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from components.ingest_data.compression import open_uncompressed
from components.ingest_data.joining import join_tables
from components.ingest_data.json_lines_source import read_json_lines
from components.ingest_data.locations import fetch_location
from components.ingest_data.parquet_source import read_parquet
from components.ingest_data.sql_source import read_sql
from components.ingest_data.structure import refuse_repeated_names
from components.ingest_data.table import Cells, RawTable
from components.ingest_data.undescribed_text import read_undescribed_text
from mulgil.contract.dictionary import canonical_code
from mulgil.contract.sources import SqlSource
from mulgil.errors import InputError, describe


@dataclass(frozen=True)
class UndescribedTable:
    """A table, and how it is to be read again.

    Attributes:
        source: The keys of `source` in project.yaml, without the location.
        columns: Every column by its name: text as a file has it, or typed.
        lines_of_utf8: How many lines of text are UTF-8 where the text is read as another encoding.
    """

    source: dict[str, object]
    columns: dict[str, pa.ChunkedArray]
    lines_of_utf8: int = 0


def read_undescribed(
    location: str, header: Sequence[str] | None, known: Collection[str], scratch: Path
) -> UndescribedTable:
    """Read CSV, JSON lines or Parquet: one file, a folder's, or those of a pattern.

    Args:
        location: A resolved path, pattern or URL.
        header: The columns, where the file has no header line.
        known: Columns that the table is said to have; a first line that names one is a header.
        scratch: A folder for a download.

    Raises:
        InputError: It is none of them, has no rows, no header or a column twice.
        TemporaryError: A server did not answer.
    """
    files = fetch_location(location, scratch)
    if not files:
        raise InputError(describe(f"No file is there: {location}", expected="at least one"))
    # As messages call them.
    names = [location] if len(files) == 1 else [str(file) for file in files]
    with open_uncompressed(files[0], names[0]) as file:
        beginning = file.peek(64)[:64].lstrip(b"\xef\xbb\xbf \t\r\n")
    if beginning.startswith(b"PAR1"):
        tables = (read_parquet(file, name) for file, name in zip(files, names, strict=True))
        return UndescribedTable({"kind": "parquet"}, _gather(tables, location))
    if beginning.startswith(b"{"):
        tables = (read_json_lines(file, name) for file, name in zip(files, names, strict=True))
        return UndescribedTable({"kind": "json_lines"}, _gather(tables, location))
    return UndescribedTable(*read_undescribed_text(dict(zip(names, files, strict=True)), header, known))


def read_undescribed_query(source: SqlSource, folder: Path) -> UndescribedTable:
    """Read what a database gives for a query.

    Args:
        source: The database and the query.
        folder: Where a relative file of SQLite lies.

    Raises:
        InputError: The URL, its environment or the query is wrong, or there is no row.
        TemporaryError: The database cannot be reached.
    """
    written: dict[str, object] = {"kind": "sql", "url": source.url, "query": source.query}
    return UndescribedTable(written, _gather(iter([read_sql(source, folder)]), source.url))


def _gather(tables: Iterator[RawTable], location: str) -> dict[str, pa.ChunkedArray]:
    table = join_tables(tables, location)
    refuse_repeated_names(table.header, location)
    batches = [batch.columns for batch in table.batches]
    return {name: _join(parts) for name, parts in zip(table.header, zip(*batches, strict=True), strict=True)}


def _join(parts: Sequence[Cells]) -> pa.ChunkedArray:
    """Return a column's batches as one; of several kinds of value, as text."""
    try:
        tables = [pa.table({"": part if isinstance(part, pa.Array) else pa.array(part)}) for part in parts]
        return pa.concat_tables(tables, promote_options="permissive")[""]
    except (pa.ArrowException, OverflowError):
        cells = [c for part in parts for c in (part.to_pylist() if isinstance(part, pa.Array) else part)]
        return pa.chunked_array([_as_text(cells)])


def _as_text(cells: Sequence[Any]) -> pa.Array:
    if all(cell is None or isinstance(cell, str | int | float) for cell in cells):
        return pa.array([None if cell is None else canonical_code(cell) for cell in cells], pa.string())
    # Of what is neither number nor word only that it is there counts.
    return pa.array([None if cell is None else b"" for cell in cells], pa.binary())
