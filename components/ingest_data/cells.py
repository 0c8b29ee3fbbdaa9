"""One cell of a source as a value, by what the dictionary says of the source's own spelling."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mulgil.contract.dictionary import Column, ColumnType, canonical_code
from mulgil.contract.number_signs import without_signs
from mulgil.contract.values import Value, ValueMismatchError, read_json, read_text

ReadCell = Callable[[Column, Any], Value]


def read_typed_cell(column: Column, cell: Any) -> Value:
    """Read a cell of a typed table; `None` is missing, and so is empty text where the column is no text.

    A number or a truth may be written as text, as columns are that something without types has written, and a
    text as a whole number.

    Raises:
        ValueMismatchError: It is not of the column's type. The domain is not checked.
    """
    if isinstance(cell, str) and column.type is not ColumnType.TEXT:
        return _read(column, cell, read_text) if cell.strip() else None
    if column.type is ColumnType.TEXT and isinstance(cell, int) and not isinstance(cell, bool):
        # An identifier of more digits than a float, or a request's JSON, tells apart.
        cell = str(cell)
    return _read(column, cell, read_json)


@dataclass(frozen=True)
class TextCells:
    """Reads the cells of a text file.

    Attributes:
        missing_values: What stands for a missing value in every column.
        decimal: The sign before a number's fraction.
    """

    missing_values: frozenset[str]
    decimal: str = "."

    def __call__(self, column: Column, cell: str) -> Value:
        """Read a cell.

        Raises:
            ValueMismatchError: It is not of the column's type. The domain is not checked.
        """
        cell = cell.strip()
        if cell in self.missing_values:
            return None
        if column.number_signs:
            cell = without_signs(cell, column.number_signs, self.decimal)
        if self.decimal == "," and column.type.is_numeric:
            if "." in cell:
                raise ValueMismatchError(column, "a number with a comma before its fraction", cell)
            cell = cell.replace(",", ".")
        return _read(column, cell, read_text)


def _read(column: Column, cell: Any, read: ReadCell) -> Value:
    if column.number_signs and isinstance(cell, str):
        cell = without_signs(cell, column.number_signs)
    # Before it is read, because a code need not be of the column's type.
    if column.missing_codes and _is_missing_code(column, cell):
        return None
    if column.time_format is not None and isinstance(cell, str):
        value = read(column, _read_time(column, cell, column.time_format))
    else:
        value = read(column, cell)
    # And after, because -999.0 is -999.
    return None if column.missing_codes and _is_missing_code(column, value) else value


def _is_missing_code(column: Column, value: Any) -> bool:
    return isinstance(value, str | int | float) and canonical_code(value) in column.missing_codes


def _read_time(column: Column, text: str, form: str) -> str:
    assert column.type is ColumnType.TIMESTAMP
    try:
        return datetime.strptime(text.strip(), form).isoformat()
    except ValueError as exc:
        raise ValueMismatchError(column, f"a time such as {form}", text) from exc
