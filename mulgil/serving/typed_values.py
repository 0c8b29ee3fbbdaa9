"""The dictionary as types of the JSON decoder, which then checks values while it reads them.

What these types let through, the contract check lets through with the same result; a property test holds it.
The reverse is not needed: what they refuse is read again by the contract check, which accepts it after all or
says why not. So there is one place that words a refusal, and the common request never reaches it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import reduce
from operator import or_
from typing import Annotated, Any

import msgspec

from mulgil.contract.dictionary import Column, ColumnType, canonical_code
from mulgil.contract.expressions import GREATEST_FLOAT32
from mulgil.contract.values import GREATEST_WHOLE


def json_type(column: Column) -> Any:
    """Return the type of a column's value in an instance of V1, where JSON alone says what a value is."""
    match column.type:
        case ColumnType.FLOAT:
            types = [_float(column)]
        case ColumnType.INTEGER:
            # A nullable integer reaches a client's data frame, and then us, as 63.0.
            types = [_integer(column), _whole_float(*_whole_bounds(column))]
        case ColumnType.BOOLEAN:
            types = [bool, Annotated[int, msgspec.Meta(ge=0, le=1)], _whole_float(0, 1)]
        case ColumnType.TIMESTAMP:
            # Read when it is derived from.
            types = [str]
        case _:
            # Which codes there are is looked up when they are encoded.
            types = [str, int, float]
    return _or_missing(column, types)


def tensor_type(column: Column) -> tuple[tuple[str, ...], Any]:
    """Return the datatypes under which most clients of V2 send a column, and the type of an element then."""
    datatypes: tuple[str, ...]
    element: Any
    match column.type:
        case ColumnType.FLOAT:
            datatypes, element = ("FP64", "FP32"), _float(column)
        case ColumnType.INTEGER:
            datatypes, element = ("INT64", "INT32"), _integer(column)
        case ColumnType.BOOLEAN:
            datatypes, element = ("BOOL",), bool
        case _:
            datatypes, element = ("BYTES",), str
    return datatypes, _or_missing(column, [element])


def row_types(
    columns: Sequence[Column], own: Sequence[str] = ()
) -> tuple[type[msgspec.Struct], type[msgspec.Struct]]:
    """Return the types of one instance: an object by column, and a list in dictionary order.

    Args:
        columns: What it has.
        own: Names of what is added to a list afterwards.
    """
    optional = [column for column in columns if not column.is_always_sent]
    fields = [(column.name, json_type(column)) for column in columns]
    by_name = msgspec.defstruct(
        "Instance",
        [
            (*field, None) if column in optional else field
            for column, field in zip(columns, fields, strict=True)
        ],
        forbid_unknown_fields=True,
        kw_only=True,
        gc=False,
    )
    # No defaults: a list has every column.
    ordered = msgspec.defstruct(
        "OrderedInstance",
        [*fields, *((name, str, "") for name in own)],
        array_like=True,
        forbid_unknown_fields=True,
        gc=False,
    )
    return by_name, ordered


class InstanceReader:
    """Checks columns of plain values by type, and makes instances of them.

    Args:
        columns: The dictionary's features, in order.
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        self._names = tuple(column.name for column in columns)
        self._type: Any = list[row_types(columns)[1]]  # type: ignore[misc]

    def read(self, columns: Mapping[str, Any], rows: int) -> Sequence[object] | None:
        """Return the instances, with an attribute a column; `None` where the contract check is to judge.

        Args:
            columns: Values by column, each `rows` long; `None` and NaN are missing, and so is what is absent.
            rows: Number of instances.
        """
        if not columns.keys() <= set(self._names):
            return None
        absent = [None] * rows
        # NaN is what is not equal to itself.
        ordered = [[None if v != v else v for v in columns.get(name, absent)] for name in self._names]
        try:
            instances: list[object] = msgspec.convert([*zip(*ordered, strict=True)], self._type)
        except msgspec.ValidationError:
            return None
        return instances


def number_of_code(code: str) -> int | float | None:
    """Return the JSON number that means a category's code, as 3 means "3"; `None` where none does."""
    try:
        number = int(code) if code.removeprefix("-").isdecimal() else float(code)
    except ValueError:
        return None
    return number if canonical_code(number) == code and math.isfinite(number) else None


def _or_missing(column: Column, types: Sequence[Any]) -> Any:
    missing = [] if column.missing.is_value_required else [None]
    return reduce(or_, [*types, *missing])


def _float(column: Column) -> Any:
    low, high = column.range or (None, None)
    least = -GREATEST_FLOAT32 if low is None else max(low, -GREATEST_FLOAT32)
    greatest = GREATEST_FLOAT32 if high is None else min(high, GREATEST_FLOAT32)
    return Annotated[float, msgspec.Meta(ge=least, le=greatest)]


def _integer(column: Column) -> Any:
    least, greatest = _whole_bounds(column)
    return Annotated[int, msgspec.Meta(ge=least, le=greatest)]


def _whole_float(least: int, greatest: int) -> Any:
    return Annotated[float, msgspec.Meta(ge=float(least), le=float(greatest), multiple_of=1.0)]


def _whole_bounds(column: Column) -> tuple[int, int]:
    low, high = column.range or (None, None)
    # The outermost bounds let nothing through, and still fit the decoder's 64 bits.
    least = -GREATEST_WHOLE if low is None else min(max(math.ceil(low), -GREATEST_WHOLE), GREATEST_WHOLE + 1)
    greatest = (
        GREATEST_WHOLE if high is None else max(min(math.floor(high), GREATEST_WHOLE), -GREATEST_WHOLE - 1)
    )
    return least, greatest
