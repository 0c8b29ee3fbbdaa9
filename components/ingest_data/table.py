"""A table as its source has it, before the dictionary has judged a single cell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mulgil.contract.dictionary import Column
from mulgil.contract.values import Value


@dataclass(frozen=True)
class RawTable:
    """Rows of raw cells.

    Attributes:
        location: Where they came from, for messages and the manifest.
        header: The columns' names in the source.
        rows: One sequence of cells a row; a row of a text file may have too few or too many.
        read_cell: Reads a cell as a value of a column; `None` is missing. It raises `ValueMismatchError`.
    """

    location: str
    header: tuple[str, ...]
    rows: Sequence[Sequence[Any]]
    read_cell: Callable[[Column, Any], Value]
