"""Derived columns as operations of a TensorFlow graph: what `mulgil.preprocessing.derived` is in numpy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from mulgil.contract.expressions import CROSSED_BY, GREATEST_FLOAT32, LEAST_FLOAT32, Expression
from mulgil.contract.moments import Zone, part_of
from mulgil.preprocessing import MISSING_CODE

_TWO: Mapping[str, Callable[[Any, Any], Any]] = {
    "+": tf.add,
    "-": tf.subtract,
    "*": tf.multiply,
    "/": tf.divide,
    ">": tf.greater,
    ">=": tf.greater_equal,
    "<": tf.less,
    "<=": tf.less_equal,
    "==": tf.equal,
    "!=": tf.not_equal,
    "and": tf.multiply,
    "or": tf.maximum,
}
_ONE: Mapping[str, Callable[[Any], Any]] = {
    "-": tf.negative,
    "not": lambda truth: 1.0 - truth,
    "abs": tf.abs,
    "log": tf.math.log,
    "sqrt": tf.sqrt,
}


class _Tensors:
    """The algebra of tensors: float64 with NaN for missing and truth as 1 and 0, or text."""

    def constant(self, value: float | bool | str) -> Any:
        return tf.constant(value) if isinstance(value, str) else tf.constant(value, tf.float64)

    def combine(self, symbol: str, left: Any, right: Any) -> Any:
        is_missing = _is_missing(left) | _is_missing(right)
        if symbol == "/":
            is_missing |= right == 0.0
        return _where_there(is_missing, tf.cast(_TWO[symbol](left, right), tf.float64))

    def apply(self, name: str, operand: Any) -> Any:
        if name == "present":
            return tf.cast(~_is_missing(operand), tf.float64)
        result = _ONE[name](operand)
        return _where_there(operand == 0.0, result) if name == "log" else result

    def bucket(self, number: Any, bounds: Sequence[float], labels: Sequence[str]) -> Any:
        is_reached = number[..., tf.newaxis] >= tf.constant(bounds, tf.float64)
        place = tf.reduce_sum(tf.cast(is_reached, tf.int32), axis=-1)
        place = tf.where(tf.math.is_nan(number), len(labels), place)
        return tf.gather(tf.constant([*labels, MISSING_CODE]), place)

    def cross(self, codes: Sequence[Any]) -> Any:
        is_missing = _is_missing(codes[0])
        for code in codes[1:]:
            is_missing |= _is_missing(code)
        return tf.where(is_missing, MISSING_CODE, tf.strings.join(codes, CROSSED_BY))

    def part(self, name: str, seconds: Any, zone: Zone) -> Any:
        place = tf.searchsorted(tf.constant(zone.bounds, tf.float64), seconds, side="right")
        return part_of(name, seconds + tf.gather(tf.constant(zone.ahead, tf.float64), place))


_TENSORS = _Tensors()


def derive_tensor(expression: Expression, columns: Mapping[str, tf.Tensor], like: tf.Tensor) -> tf.Tensor:
    """Compute a derived column.

    Args:
        expression: What it is derived by.
        columns: The graph's inputs: float32 with NaN for missing, text with `MISSING_CODE`, or moments as
            float64 seconds since 1970.
        like: Any of them, whose rows a constant is written in.

    Returns:
        A number or a text in the same form.

    Shapes:
        (rows,) each.
    """
    # Sorted, so that the same training gives the same graph.
    operands = {
        name: columns[name] if columns[name].dtype == tf.string else _operand(columns[name])
        for name in sorted(expression.columns)
    }
    computed = tf.broadcast_to(expression.compute(operands, _TENSORS), tf.shape(like))
    if computed.dtype == tf.string:
        return computed
    return tf.cast(_where_there(~(tf.abs(computed) <= GREATEST_FLOAT32), computed), tf.float32)


def _operand(column: tf.Tensor) -> tf.Tensor:
    numbers = tf.cast(column, tf.float64)
    # Said here, too: not every processor that a graph runs on reads a subnormal number as zero.
    return tf.where(tf.abs(numbers) < LEAST_FLOAT32, tf.constant(0.0, tf.float64), numbers)


def _where_there(is_missing: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    return tf.where(is_missing, tf.constant(float("nan"), tf.float64), values)


def _is_missing(operand: tf.Tensor) -> tf.Tensor:
    return operand == MISSING_CODE if operand.dtype == tf.string else tf.math.is_nan(operand)
