"""One value of one column, read the same way from a file's text and from a request's JSON."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from mulgil.contract.dictionary import Column, ColumnType, canonical_code

Value = float | int | bool | str | datetime | None

_TRUE = {"true", "yes", "t", "y", "1", "1.0"}
_FALSE = {"false", "no", "f", "n", "0", "0.0"}

# Beyond these a float64 no longer holds every integer.
_GREATEST_WHOLE = 2**53


class ValueMismatchError(ValueError):
    """A value is not of its column's type or domain.

    Attributes:
        column: The column's name.
        expected: What the dictionary allows.
        received: What came, or `(hidden)` where the column is sensitive.
    """

    def __init__(self, column: Column, expected: str, received: object) -> None:
        self.column = column.name
        self.expected = expected
        self.received = "(hidden)" if column.sensitive else repr(received)[:80]
        super().__init__(f"{self.column}: expected {expected}, received {self.received}")


def read_text(column: Column, text: str) -> Value:
    """Read a cell of a text file; the caller has already mapped the codes for missing to `None`.

    Raises:
        ValueMismatchError: The text is not of the column's type. The domain is not checked.
    """
    text = text.strip()
    match column.type:
        case ColumnType.FLOAT | ColumnType.INTEGER:
            try:
                return read_json(column, float(text))
            except ValueError as exc:
                if isinstance(exc, ValueMismatchError):
                    raise
                raise ValueMismatchError(column, f"a number ({column.type})", text) from exc
        case ColumnType.BOOLEAN:
            if text.lower() in _TRUE | _FALSE:
                return text.lower() in _TRUE
            raise ValueMismatchError(column, "true or false", text)
        case ColumnType.TIMESTAMP:
            try:
                moment = datetime.fromisoformat(text)
            except ValueError as exc:
                raise ValueMismatchError(column, "a date and time in ISO 8601", text) from exc
            return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return read_json(column, text)


def read_json(column: Column, value: object) -> Value:
    """Read a value of a JSON request, or of a typed table.

    Raises:
        ValueMismatchError: The value is not of the column's type. The domain is not checked.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    match column.type:
        case ColumnType.FLOAT:
            if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
                return float(value)
            raise ValueMismatchError(column, "a number (float)", value)
        case ColumnType.INTEGER:
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise ValueMismatchError(column, "a whole number (integer)", value)
            if int(value) != value or abs(value) > _GREATEST_WHOLE:
                raise ValueMismatchError(column, "a whole number (integer)", value)
            return int(value)
        case ColumnType.BOOLEAN:
            if isinstance(value, bool) or (isinstance(value, int | float) and value in (0, 1)):
                return bool(value)
            raise ValueMismatchError(column, "true or false", value)
        case ColumnType.CATEGORY:
            return _read_code(column, value)
        case ColumnType.TEXT:
            if isinstance(value, str):
                return value
            raise ValueMismatchError(column, "text", value)
        case ColumnType.TIMESTAMP:
            if isinstance(value, datetime):
                return value if value.tzinfo else value.replace(tzinfo=UTC)
            if isinstance(value, str):
                return read_text(column, value)
            raise ValueMismatchError(column, "a date and time in ISO 8601", value)


def check_domain(column: Column, value: Value) -> None:
    """Hold a value that is not missing against its column's range and categories.

    Raises:
        ValueMismatchError: It lies outside.
    """
    if column.categories is not None and value not in column.categories:
        raise ValueMismatchError(column, "one of " + ", ".join(column.categories), value)
    if column.range is not None and isinstance(value, int | float):
        low, high = column.range
        if (low is not None and value < low) or (high is not None and value > high):
            raise ValueMismatchError(column, describe_range(column), value)


def describe_range(column: Column) -> str:
    """Write a column's range with its unit, such as `80 to 220 mmHg`."""
    low, high = column.range or (None, None)
    unit = f" {column.unit}" if column.unit else ""
    if low is not None and high is not None:
        return f"{low:g} to {high:g}{unit}"
    return f"at least {low:g}{unit}" if low is not None else f"at most {high:g}{unit}"


def _read_code(column: Column, value: object) -> str:
    if isinstance(value, bool | int | float):
        value = canonical_code(value)
    if not isinstance(value, str):
        raise ValueMismatchError(column, "a category's code", value)
    if value in (column.categories or {}):
        return value
    # A file that went through a spreadsheet writes the code 3 as 3.0.
    try:
        code = canonical_code(float(value))
    except ValueError:
        return value
    return code if isinstance(code, str) and math.isfinite(float(value)) else value
