"""One value of one column, read the same way from a file's text and from a request's JSON."""

from __future__ import annotations

import binascii
import math
import sys
from base64 import b64decode
from datetime import UTC, datetime
from typing import TypeGuard

from mulgil.contract.dictionary import Column, ColumnType, canonical_code

# An image is its file: PNG or JPEG.
Value = float | int | bool | str | bytes | datetime | None

_TRUE = {"true", "yes", "t", "y", "1", "1.0"}
_FALSE = {"false", "no", "f", "n", "0", "0.0"}

# Beyond these a float64 no longer tells neighbours apart (RFC 8259, section 6, advises the same for JSON).
GREATEST_WHOLE = 2**53 - 1
_WHOLE = "a whole number (integer), less than 2**53; longer identifiers are text"


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
            number = _read_number(text)
            if number is None:
                raise ValueMismatchError(column, f"a number ({column.type})", text)
            return read_json(column, number)
        case ColumnType.BOOLEAN:
            truth = read_truth(text)
            if truth is None:
                raise ValueMismatchError(column, "true or false", text)
            return truth
    return read_json(column, text)


def read_truth(word: str) -> bool | None:
    """Read a word such as `yes` or `0`, in any case, as true or false; `None` where it is neither."""
    word = word.lower()
    return word in _TRUE if word in _TRUE | _FALSE else None


def read_json(column: Column, value: object) -> Value:
    """Read a value of a JSON request, or of a typed table. NaN is a missing value.

    Raises:
        ValueMismatchError: The value is not of the column's type. The domain is not checked.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    match column.type:
        case ColumnType.FLOAT:
            if _is_number(value, sys.float_info.max):
                return float(value)
            raise ValueMismatchError(column, "a finite number (float)", value)
        case ColumnType.INTEGER:
            if _is_number(value, GREATEST_WHOLE) and int(value) == value:
                return int(value)
            raise ValueMismatchError(column, _WHOLE, value)
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
            moment = read_moment(value)
            if moment is None:
                raise ValueMismatchError(column, "a date and time in ISO 8601", value)
            return moment
        case ColumnType.IMAGE:
            return _read_file(column, value)


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
    low, high = map(canonical_code, column.range or (None, None))
    unit = f" {column.unit}" if column.unit else ""
    if low is not None and high is not None:
        return f"{low} to {high}{unit}"
    return f"at least {low}{unit}" if low is not None else f"at most {high}{unit}"


def _is_number(value: object, greatest: float) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= greatest


def _read_number(text: str) -> float | None:
    # Python's own literals may have underscores between digits; a table's numbers do not.
    if "_" in text:
        return None
    try:
        return float(text)
    except ValueError:
        return None


def read_moment(value: object) -> datetime | None:
    """Read a date and time in ISO 8601, or one that is such already, in UTC; `None` where it is neither.

    Digits beyond a millionth of a second are left out.
    """
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        if not isinstance(moment, datetime):
            return None
        # Without a zone it is UTC.
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def _read_file(column: Column, value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    # TensorFlow Serving's way to send bytes, and the bare text.
    encoded = value["b64"] if isinstance(value, dict) and value.keys() == {"b64"} else value
    try:
        if isinstance(encoded, str):
            return b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        pass
    raise ValueMismatchError(column, 'a PNG or JPEG file in base64, such as {"b64": "iVBO…"}', value)


def _read_code(column: Column, value: object) -> str:
    if isinstance(value, bool | int | float):
        value = canonical_code(value)
    if not isinstance(value, str):
        raise ValueMismatchError(column, "a category's code", value)
    if value in (column.categories or {}):
        return value
    # A file that went through a spreadsheet writes the code 3 as 3.0.
    number = _read_number(value)
    return str(canonical_code(number)) if number is not None and math.isfinite(number) else value
