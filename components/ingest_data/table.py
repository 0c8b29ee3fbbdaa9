"""A table as its source has it, before the dictionary has judged a single cell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from components.ingest_data.cells import ReadCell

# Rows that are looked at together: enough for Arrow's own pace, and a few megabytes. Chosen by eye.
BATCH_ROWS = 1 << 16
# Of a wide table fewer: a cell of a text file takes some 60 bytes before Arrow has it.
_BATCH_CELLS = 1 << 22

# The cells of one column: an Arrow array, or Python's own values where they are of several types.
Cells = pa.Array | Sequence[Any]


@dataclass(frozen=True)
class Misfit:
    """A row that does not have the table's columns.

    Attributes:
        number: Its position in the source, from 1.
        expected: What a row is.
        received: What it is.
        cells: What it has, by column as far as that can be told.
    """

    number: int
    expected: str
    received: str
    cells: dict[str, Any]


@dataclass(frozen=True)
class FileOfRows:
    """Which of several files some rows are of.

    Attributes:
        location: The file.
        rows_before: Rows of the files before it.
    """

    location: str
    rows_before: int


@dataclass(frozen=True)
class Batch:
    """Some rows of raw cells.

    Attributes:
        numbers: The rows' positions in the source, from 1.
        columns: Their cells, one array a column of the header.
        misfits: Rows between them that have other columns.
        file: Where they are from, if several files are read as one table.
    """

    numbers: npt.NDArray[np.int64]
    columns: tuple[Cells, ...]
    misfits: tuple[Misfit, ...] = ()
    file: FileOfRows | None = None


@dataclass(frozen=True)
class RawTable:
    """Rows of raw cells, read as they are asked for.

    Attributes:
        location: Where they come from, for messages and the manifest.
        header: The columns' names in the source.
        batches: The rows; they can be gone through once. The first one is there.
        read_cell: Reads a cell as a value of a column; `None` is missing. It raises `ValueMismatchError`.
    """

    location: str
    header: tuple[str, ...]
    batches: Iterator[Batch]
    read_cell: ReadCell


def rows_that_fit(width: int) -> int:
    """Return how many rows of a text file so wide may be looked at together."""
    return max(1, _BATCH_CELLS // max(1, width))


def number_batches(columns: Iterator[tuple[Cells, ...]]) -> Iterator[Batch]:
    """Number the rows of a source that has no misfits."""
    first = 1
    for cells in columns:
        rows = len(cells[0]) if cells else 0
        yield Batch(np.arange(first, first + rows), cells)
        first += rows
