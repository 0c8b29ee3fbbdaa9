"""Every column of a project's source by its dictionary, to be looked at: nothing is set aside or divided."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from components.ingest_data.columns import ReadColumn, read_column
from components.ingest_data.rows import derive
from components.ingest_data.sources import describe_source, read_source
from components.ingest_data.structure import check_structure
from components.ingest_data.table import Batch, Cells
from mulgil.contract import ColumnRole, ProjectFolder


def read_described(folder: ProjectFolder, scratch: Path) -> dict[str, pa.ChunkedArray]:
    """Read a project's source.

    Args:
        folder: The project.
        scratch: A folder for a download.

    Returns:
        The columns by their names in the dictionary: typed, and null where a cell is wrong; the ignored ones
        as the source has them.

    Raises:
        InputError: The source is missing, or is not what the project says.
        TemporaryError: A server did not answer.
    """
    table = read_source(folder, folder.project.source, scratch)
    dictionary = folder.dictionary
    beginning = next(table.batches)
    check_structure(table, beginning, dictionary, describe_source(folder.project.source))
    place_of = {name: at for at, name in enumerate(table.header)}
    derived = [(column, column.expression) for column in dictionary.columns if column.expression is not None]
    operands = {name for _, expression in derived if expression is not None for name in expression.columns}
    parts: dict[str, list[pa.Array]] = {}

    def read(batch: Batch) -> None:
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
            assert expression is not None
            columns[column.name] = derive(column, expression, columns, len(batch.numbers))
        for name, found in columns.items():
            parts.setdefault(name, []).append(found.values)

    read(beginning)
    for batch in table.batches:
        read(batch)
    return {name: pa.chunked_array(arrays) for name, arrays in parts.items()}


def _as_it_is(cells: Cells) -> pa.Array:
    """Return cells as text, unless they are typed."""
    if isinstance(cells, pa.Array):
        return cells
    return pa.array([None if cell is None else str(cell) for cell in cells], pa.string())
