"""Derived columns of many rows at once, in numpy.

The operands are what a model's graph gets: float32 without subnormal numbers, computed with in float64, so
that training, the graph and the server compute from the same numbers, and a comparison falls on the same side
in all three.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mulgil.contract.expressions import CROSSED_BY, GREATEST_FLOAT32, LEAST_FLOAT32, Expression
from mulgil.contract.moments import Zone, part_of
from mulgil.preprocessing.fitted import MISSING_CODE

_TWO: Mapping[str, Callable[[Any, Any], Any]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    ">": np.greater,
    ">=": np.greater_equal,
    "<": np.less,
    "<=": np.less_equal,
    "==": np.equal,
    "!=": np.not_equal,
    "and": np.multiply,
    "or": np.maximum,
}
_ONE: Mapping[str, Callable[[Any], Any]] = {
    "-": np.negative,
    "not": lambda truth: 1.0 - truth,
    "abs": np.abs,
    "log": np.log,
    "sqrt": np.sqrt,
}


class _Arrays:
    """The algebra of numpy's arrays: float64 with NaN for missing and truth as 1 and 0, or text."""

    def constant(self, value: float | bool | str) -> Any:
        return np.array(value, object) if isinstance(value, str) else np.float64(value)

    def combine(self, symbol: str, left: Any, right: Any) -> Any:
        nothing = is_missing(left) | is_missing(right)
        if symbol == "/":
            nothing |= right == 0
        return np.where(nothing, np.nan, _TWO[symbol](left, right).astype(np.float64))

    def apply(self, name: str, operand: Any) -> Any:
        if name == "present":
            return np.where(is_missing(operand), 0.0, 1.0)
        result = _ONE[name](operand)
        # The logarithm of zero; of what is less, numpy says NaN itself.
        return np.where(operand == 0, np.nan, result) if name == "log" else result

    def bucket(self, number: Any, bounds: Sequence[float], labels: Sequence[str]) -> Any:
        places = np.where(np.isnan(number), len(labels), np.searchsorted(bounds, number, side="right"))
        return np.array([*labels, MISSING_CODE], object)[places]

    def cross(self, codes: Sequence[Any]) -> Any:
        crossed = codes[0]
        for other in codes[1:]:
            crossed = crossed + CROSSED_BY + other
        nothing = np.any([*np.broadcast_arrays(*map(is_missing, codes))], axis=0)
        return np.where(nothing, MISSING_CODE, crossed)

    def part(self, name: str, seconds: Any, zone: Zone) -> Any:
        ahead = np.array(zone.ahead)[np.searchsorted(zone.bounds, seconds, side="right")]
        return part_of(name, seconds + ahead)


_ARRAYS = _Arrays()


def derive_values(
    expression: Expression, columns: Mapping[str, npt.NDArray[Any]], rows: int
) -> npt.NDArray[Any]:
    """Compute a derived column.

    Args:
        expression: What it is derived by.
        columns: What it reads: float32 with NaN for missing, objects that are text with `MISSING_CODE`, or
            moments as float64 seconds since 1970.
        rows: How many rows there are.

    Returns:
        A number or a text in the same form.

    Shapes:
        (rows,) each.
    """
    operands = {
        name: columns[name] if columns[name].dtype == object else _operand(columns[name])
        for name in expression.columns
    }
    with np.errstate(all="ignore"):
        computed = np.broadcast_to(expression.compute(operands, _ARRAYS), (rows,))
        if computed.dtype == object:
            return computed
        return np.where(np.abs(computed) <= GREATEST_FLOAT32, computed, np.nan).astype(np.float32)


def _operand(column: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    numbers = column.astype(np.float64)
    return np.where(np.abs(numbers) < LEAST_FLOAT32, 0.0, numbers)


def is_missing(operand: Any) -> Any:
    """Say of each value whether it is missing."""
    return operand == MISSING_CODE if operand.dtype == object else np.isnan(operand)
