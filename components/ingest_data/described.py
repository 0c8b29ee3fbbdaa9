"""Every column of a project's source by its dictionary, to be looked at: nothing is set aside or divided."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from components.ingest_data.columns import ARROW_TYPES, ReadColumn, read_column
from components.ingest_data.looking_back import look_back_at_once
from components.ingest_data.rows import derive
from components.ingest_data.sources import describe_source, find_source, is_in_spans, read_source
from components.ingest_data.span_files import SpanFiles
from components.ingest_data.spans import join_files
from components.ingest_data.structure import check_structure
from components.ingest_data.table import Batch, Cells
from mulgil.contract import ColumnRole, ProjectFolder
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
    newest_span, newest_files = "", frozenset[str]()
    if is_in_spans(source):
        spans = SpanFiles(source.location)
        chosen = [found.span for found in spans.find(source.spans).chosen]
        fetched = [spans.fetch(span, scratch / span.name) for span in chosen]
        table = join_files(
            [file for files in fetched for file in files], source, folder.dictionary, source.location
        )
        if len(chosen) > 1:
            newest_span, newest_files = chosen[-1].name, frozenset(map(str, fetched[-1]))
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
    newest_rows = 0

    def read(batch: Batch) -> None:
        nonlocal newest_rows
        if batch.file is not None and batch.file.location in newest_files:
            newest_rows += len(batch.numbers)
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
    return DescribedTable(columns, newest_span, newest_rows)


def _as_it_is(cells: Cells) -> pa.Array:
    """Return cells as text, unless they are typed."""
    if isinstance(cells, pa.Array):
        return cells
    return pa.array([None if cell is None else str(cell) for cell in cells], pa.string())
