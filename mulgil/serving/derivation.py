"""A derived column of one row, from values as a request has them."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mulgil.contract.dictionary import Column, ColumnType
from mulgil.contract.expressions import LEAST_FLOAT32
from mulgil.contract.moments import seconds_of
from mulgil.contract.values import read_moment
from mulgil.serving.typed_values import number_of_code

# A model's graph gets its numbers as float32, and a comparison must fall on the same side here.
_SINGLE = struct.Struct("=f")


class Derivation:
    """Computes a derived column.

    Args:
        column: The column.
        inputs: What a request carries, the columns that it reads among them.

    Attributes:
        column: The column.
        operands: Names of the columns that it reads.
    """

    def __init__(self, column: Column, inputs: Sequence[Column]) -> None:
        assert column.expression is not None
        self.column = column
        self.operands = tuple(sorted(column.expression.columns))
        self._expression = column.expression
        by_name = {one.name: one for one in inputs}
        self._readers = [(name, _reader(by_name[name])) for name in self.operands]

    def compute(self, values: Sequence[Any]) -> float | str | None:
        """Compute the column's value from the operands' in their order; `None` is missing.

        Raises:
            KeyError: A code is not written as the dictionary writes it, or a moment is none.
            OverflowError: A number does not fit float32.
        """
        row = {
            name: None if value is None else read(value)
            for (name, read), value in zip(self._readers, values, strict=True)
        }
        return self._expression.evaluate_feature(row)

    def of_instance(self, instance: object) -> float | str | None:
        """Compute the column's value of an instance with an attribute a column.

        Raises:
            KeyError: As of `compute`; or there is no value, and the dictionary requires one.
            OverflowError: As of `compute`.
        """
        value = self.compute([getattr(instance, name) for name in self.operands])
        if value is None and self.column.missing.is_value_required:
            raise KeyError(self.column.name)
        return value

    def of_columns(self, columns: Mapping[str, Any], row: int) -> float | str | None:
        """Compute the column's value of one of many rows.

        Raises:
            KeyError: As of `compute`.
            OverflowError: As of `compute`.
        """
        return self.compute([columns[name][row] for name in self.operands])


def codes_by_value(column: Column) -> dict[str | int | float, str]:
    """Return a category's codes by themselves, and by the numbers that mean them."""
    codes = tuple(column.categories or ())
    numbers: dict[str | int | float, str] = {
        number: code for code in codes if (number := number_of_code(code)) is not None
    }
    return numbers | {code: code for code in codes}


def _reader(column: Column) -> Callable[[Any], float | str]:
    if column.type is ColumnType.CATEGORY:
        return codes_by_value(column).__getitem__
    return read_seconds if column.type is ColumnType.TIMESTAMP else _number


def read_seconds(value: object) -> float:
    """Read a moment of a request as whole seconds since 1970.

    Raises:
        KeyError: It is none.
    """
    moment = read_moment(value)
    if moment is None:
        raise KeyError(value)
    return seconds_of(moment)


def _number(value: Any) -> float:
    single: float = _SINGLE.unpack(_SINGLE.pack(value))[0]
    return 0.0 if abs(single) < LEAST_FLOAT32 else single
