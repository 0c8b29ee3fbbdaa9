"""A batch's cells of one column as an Arrow array of the column's type.

What Arrow surely reads as the contract does is read by Arrow. Everything else, and everything that is wrong,
is read by the contract's own reader, once for each different cell.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from components.ingest_data.cells import ReadCell, TextCells
from components.ingest_data.images import read_images
from components.ingest_data.table import Cells
from components.ingest_data.typed_cells import plain
from mulgil.contract.dictionary import Column, ColumnRole, ColumnType
from mulgil.contract.values import GREATEST_WHOLE, ValueMismatchError

# Types that pyarrow 10, the validation environment's, reads back as they are.
ARROW_TYPES = {
    ColumnType.FLOAT: pa.float64(),
    ColumnType.INTEGER: pa.int64(),
    ColumnType.BOOLEAN: pa.bool_(),
    ColumnType.CATEGORY: pa.string(),
    ColumnType.TEXT: pa.string(),
    ColumnType.TIMESTAMP: pa.timestamp("us", tz="UTC"),
    ColumnType.IMAGE: pa.binary(),
}

# Python reads these, and Arrow's cast reads them to the same float64.
_PLAIN_NUMBER = r"^-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?$"

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class ReadColumn:
    """A column's values.

    Attributes:
        values: Of the column's type, null where missing or wrong.
        mistakes: What is wrong, by place.
    """

    values: pa.Array
    mistakes: dict[int, ValueMismatchError]


def read_column(column: Column, cells: Cells, read_cell: ReadCell) -> ReadColumn:
    """Read a column's cells.

    Args:
        column: The column.
        cells: As the source has them.
        read_cell: What each cell means.
    """
    if column.type is ColumnType.IMAGE:
        return ReadColumn(*read_images(column, cells))
    read = _read_cells(column, cells, read_cell)
    if column.role is not ColumnRole.INPUT:
        return read
    # To the second, which is what a feature store keeps, so that training and serving have the same.
    return ReadColumn(pc.floor_temporal(read.values, unit="second"), read.mistakes)


def _read_cells(column: Column, cells: Cells, read_cell: ReadCell) -> ReadColumn:
    if not isinstance(cells, pa.Array):
        return _read_objects(column, cells, read_cell)
    if pa.types.is_dictionary(cells.type):
        cells = pc.cast(cells, cells.type.value_type)
    if pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type):
        return _read_words(column, cells, read_cell)
    values = None if column.missing_codes else _cast(column.type, cells)
    if values is None:
        return _read_objects(column, [plain(cell) for cell in cells.to_pylist()], read_cell)
    is_left = (pc.is_null(values).to_numpy(zero_copy_only=False)) & (
        pc.is_valid(cells).to_numpy(zero_copy_only=False)
    )
    if not is_left.any():
        return ReadColumn(values, {})
    return _read_the_rest(column, values, cells, is_left, read_cell)


def _read_words(column: Column, cells: pa.Array, read_cell: ReadCell) -> ReadColumn:
    """Read each different word once, numbers as Arrow does where that is the same."""
    encoded = cells.dictionary_encode()
    words = encoded.dictionary
    values = pa.nulls(len(words), ARROW_TYPES[column.type])
    is_left = np.ones(len(words), dtype=bool)
    is_cast = column.type.is_numeric and not column.missing_codes
    if is_cast and isinstance(read_cell, TextCells) and read_cell.decimal == ".":
        values = _cast_words(column.type, words, read_cell.missing_values)
        is_left = pc.is_null(values).to_numpy(zero_copy_only=False)
    read = _read_the_rest(column, values, words, is_left, read_cell) if is_left.any() else None
    values = read.values if read else values
    indices = encoded.indices
    wrong: dict[int, ValueMismatchError] = {}
    if read and read.mistakes:
        places = pc.fill_null(indices, -1).to_numpy()
        for place in np.flatnonzero(np.isin(places, list(read.mistakes))):
            wrong[int(place)] = read.mistakes[int(places[place])]
    return ReadColumn(values.take(indices), wrong)


def _cast_words(kind: ColumnType, words: pa.Array, missing: frozenset[str]) -> pa.Array:
    """Return the numbers that the words are, null where they are none that Arrow surely reads."""
    there = pc.if_else(
        pc.is_in(words, value_set=pa.array(sorted(missing), words.type)), pa.scalar(None, words.type), words
    )
    try:
        numbers = pc.cast(there, pa.float64())
    except pa.ArrowInvalid:
        is_plain = pc.match_substring_regex(there, _PLAIN_NUMBER)
        numbers = pc.cast(pc.if_else(is_plain, there, pa.scalar(None, there.type)), pa.float64())
    return _cast(kind, numbers)


def _cast(kind: ColumnType, cells: pa.Array) -> pa.Array | None:
    """Return the values that Arrow reads as the contract does, null elsewhere; `None` where it reads none."""
    found = cells.type
    if kind is ColumnType.FLOAT and (pa.types.is_floating(found) or pa.types.is_integer(found)):
        numbers = pc.cast(cells, pa.float64(), safe=False)
        return pc.if_else(pc.is_finite(numbers), numbers, pa.scalar(None, pa.float64()))
    if kind is ColumnType.INTEGER and pa.types.is_signed_integer(found):
        whole = pc.cast(cells, pa.int64())
        is_great = pc.or_(pc.greater(whole, GREATEST_WHOLE), pc.less(whole, -GREATEST_WHOLE))
        return pc.if_else(is_great, pa.scalar(None, pa.int64()), whole)
    if kind is ColumnType.INTEGER and pa.types.is_floating(found):
        numbers = pc.cast(cells, pa.float64())
        is_whole = pc.and_(
            pc.less_equal(pc.abs(numbers), float(GREATEST_WHOLE)), pc.equal(pc.floor(numbers), numbers)
        )
        return pc.cast(pc.if_else(is_whole, numbers, pa.scalar(None, pa.float64())), pa.int64())
    if kind is ColumnType.TEXT and pa.types.is_integer(found):
        # An identifier of more digits than a float, or JSON, tells apart.
        return pc.cast(cells, pa.string())
    if kind is ColumnType.BOOLEAN and pa.types.is_boolean(found):
        return cells
    if kind is ColumnType.TIMESTAMP and pa.types.is_timestamp(found):
        # Without a zone it is UTC; nanoseconds are more than a dataset keeps. A cast of a time before 1970
        # would take the next microsecond.
        whole = pc.floor_temporal(cells, unit="microsecond") if found.unit == "ns" else cells
        moments = pc.cast(whole, pa.timestamp("us", tz=found.tz), safe=False)
        if found.tz is None:
            return pc.assume_timezone(moments, "UTC")
        return pc.cast(moments, pa.timestamp("us", tz="UTC"))
    return None


def _read_the_rest(
    column: Column, values: pa.Array, cells: pa.Array, is_left: Mask, read_cell: ReadCell
) -> ReadColumn:
    """Read the cells that are left by the contract's reader, and put them where they belong."""
    places = np.flatnonzero(is_left)
    rest = _read_objects(
        column, [plain(cell) for cell in cells.take(pa.array(places)).to_pylist()], read_cell
    )
    mistakes = {int(places[place]): mistake for place, mistake in rest.mistakes.items()}
    if len(places) == len(values):
        return ReadColumn(rest.values, mistakes)
    return ReadColumn(pc.replace_with_mask(values, pa.array(is_left), rest.values), mistakes)


def _read_objects(column: Column, cells: Sequence[Any], read_cell: ReadCell) -> ReadColumn:
    values: list[Any] = []
    mistakes: dict[int, ValueMismatchError] = {}
    # By type too: to a dict, 1 and True are one key.
    known: dict[tuple[type, Hashable], Any] = {}
    for place, cell in enumerate(cells):
        key = (type(cell), cell) if isinstance(cell, Hashable) else None
        if key is not None and key in known:
            value = known[key]
        else:
            try:
                value = read_cell(column, cell)
            except ValueMismatchError as exc:
                value = exc
            if key is not None:
                known[key] = value
        if isinstance(value, ValueMismatchError):
            mistakes[place] = value
            value = None
        values.append(value)
    return ReadColumn(pa.array(values, ARROW_TYPES[column.type]), mistakes)
