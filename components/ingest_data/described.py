"""Every column of a project's source by its dictionary, to be looked at: nothing is set aside or divided."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from components.ingest_data.columns import ARROW_TYPES, ReadColumn, read_column
from components.ingest_data.images import gather_pixels
from components.ingest_data.joining import join_tables
from components.ingest_data.looking_back import look_back_at_once
from components.ingest_data.rows import derive
from components.ingest_data.sources import describe_source, find_source, read_source
from components.ingest_data.spans import open_spans
from components.ingest_data.structure import check_structure
from components.ingest_data.table import Batch, Cells, RawTable
from mulgil.contract import ColumnRole, ProjectFolder
from mulgil.contract.sources import is_in_spans
from mulgil.preprocessing.rows import derive_array


@dataclass(frozen=True)
class DescribedTable:
    """A project's source, whole.

    Attributes:
        columns: By their names in the dictionary: typed, and null where a cell is wrong; the ignored ones as
            the source has them.
        newest_span: The newest of its spans, if it has several.
        newest_rows: How many of the rows are of it; they are the last ones.
    """

    columns: dict[str, pa.ChunkedArray]
    newest_span: str = ""
    newest_rows: int = 0


def read_described(folder: ProjectFolder, scratch: Path) -> DescribedTable:
    """Read a project's source.

    Args:
        folder: The project.
        scratch: A folder for a download.

    Raises:
        InputError: The source is missing, or is not what the project says.
        TemporaryError: A server did not answer.
    """
    source = find_source(folder, "")
    newest_span, rows, rows_before = "", 0, 0
    if is_in_spans(source):
        spans = open_spans(folder, source)
        chosen = [found.span for found in spans.find().chosen]
        if len(chosen) > 1:
            newest_span = chosen[-1].name

        def open_each() -> Iterator[RawTable]:
            nonlocal rows_before
            for span in chosen:
                # Each is opened when the rows before it are read.
                rows_before = rows
                fetched = scratch / span.name
                fetched.mkdir()
                yield spans.read(span, fetched)

        table = gather_pixels(join_tables(open_each(), describe_source(source)), folder.dictionary)
    else:
        table = read_source(folder, source, scratch)
    dictionary = folder.dictionary
    beginning = next(table.batches)
    check_structure(table, beginning, dictionary, describe_source(folder.project.source))
    place_of = {name: at for at, name in enumerate(table.header)}
    past = {column.name for column in dictionary.aggregates}
    derived = [(column, column.expression) for column in dictionary.columns if column.expression is not None]
    # An entity's past, and what is derived of it, is made of all rows, which are not here at once.
    late = [(column, expression) for column, expression in derived if expression.columns & past]
    derived = [one for one in derived if one not in late]
    operands = {name for _, expression in derived for name in expression.columns}
    operands |= dictionary.ruled
    parts: dict[str, list[pa.Array]] = {}

    def read(batch: Batch) -> None:
        nonlocal rows
        rows += len(batch.numbers)
        columns: dict[str, ReadColumn] = {}
        for column in dictionary.columns:
            if not column.is_in_source:
                continue
            cells = batch.columns[place_of[column.name_in_source]]
            if column.role is not ColumnRole.IGNORE or column.name in operands:
                columns[column.name] = read_column(column, cells, table.read_cell)
            else:
                parts.setdefault(column.name, []).append(_as_it_is(cells))
        for column, expression in derived:
            columns[column.name] = derive(column, expression, columns, len(batch.numbers))
        for name, found in columns.items():
            parts.setdefault(name, []).append(found.values)

    read(beginning)
    for batch in table.batches:
        read(batch)
    columns = {name: pa.chunked_array(arrays) for name, arrays in parts.items()}
    columns |= look_back_at_once(columns, dictionary)
    # Of an entity or a time that ingestion makes there is no past here.
    for column, expression in late:
        if not expression.columns <= columns.keys():
            continue
        values = derive_array(expression, columns, len(next(iter(columns.values()))))
        columns[column.name] = pa.chunked_array([values.cast(ARROW_TYPES[column.type])])
    return DescribedTable(columns, newest_span, rows - rows_before if newest_span else 0)


def _as_it_is(cells: Cells) -> pa.Array:
    """Return cells as text, unless they are typed."""
    if isinstance(cells, pa.Array):
        return cells
    return pa.array([None if cell is None else str(cell) for cell in cells], pa.string())
