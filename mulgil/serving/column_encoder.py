"""From whole columns of numbers and codes to the model's input, checked and encoded by numpy.

Like the types of the JSON decoder, it lets nothing through that the contract check refuses, and leaves it to
the contract check to say why.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mulgil.contract.dictionary import Column, ColumnType
from mulgil.contract.expressions import GREATEST_FLOAT32
from mulgil.contract.values import GREATEST_WHOLE
from mulgil.preprocessing import FittedTransform, TransformExecutor
from mulgil.preprocessing.derived import is_missing
from mulgil.preprocessing.executor import Values
from mulgil.serving.derivation import codes_by_value, read_seconds

ArrayColumns = Mapping[str, npt.NDArray[Any] | Sequence[str | None]]


class ColumnEncoder:
    """Encodes columns of many rows.

    Args:
        transform: What was fitted.
        columns: The dictionary's features.
        inputs: What a request carries.
    """

    def __init__(
        self, transform: FittedTransform, columns: Sequence[Column], inputs: Sequence[Column]
    ) -> None:
        self._executor = TransformExecutor(transform)
        self._must_derive = [
            column.name
            for column in columns
            if column.is_derived_feature and column.missing.is_value_required
        ]
        self._moments = [column for column in inputs if column.type is ColumnType.TIMESTAMP]
        others = (ColumnType.CATEGORY, ColumnType.TIMESTAMP)
        self._numeric = [column for column in inputs if column.type not in others]
        bounds = [_bounds(column) for column in self._numeric]
        self._least, self._greatest = np.array(bounds, np.float64).reshape(-1, 2, 1).transpose(1, 0, 2)
        self._is_whole = np.array([c.type is not ColumnType.FLOAT for c in self._numeric], np.bool_)
        self._is_required = np.array([c.missing.is_value_required for c in self._numeric], np.bool_)
        self._codes = {column.name: _codes(column) for column in inputs if column.type is ColumnType.CATEGORY}

    def encode(self, columns: ArrayColumns, rows: int) -> npt.NDArray[np.float32] | None:
        """Encode rows, or return `None` where the contract check is to judge.

        Args:
            columns: Values by column; NaN and `None` are missing, and so is a column that is absent.
            rows: Number of instances.

        Shapes:
            (rows, width).
        """
        numbers = self._read_numbers(columns, rows)
        if numbers is None:
            return None
        encoded: dict[str, Values] = {c.name: n for c, n in zip(self._numeric, numbers, strict=True)}
        for name, codes in self._codes.items():
            received = columns.get(name)
            # `True` and 1 are one key of a dictionary, but two codes.
            if isinstance(received, np.ndarray) and received.dtype.kind == "b":
                return None
            try:
                encoded[name] = [codes[value] for value in _plain(received, rows)]
            except KeyError:
                return None
        for column in self._moments:
            seconds = _read_moments(columns.get(column.name), rows, column)
            if seconds is None:
                return None
            encoded[column.name] = seconds
        if self._must_derive and self._lacks_derived(encoded):
            return None
        return self._executor.apply(encoded)

    def _lacks_derived(self, columns: Mapping[str, Values]) -> bool:
        derived = self._executor.derive(columns)
        return any(is_missing(derived[name]).any() for name in self._must_derive)

    def _read_numbers(self, columns: ArrayColumns, rows: int) -> npt.NDArray[np.float64] | None:
        numbers = np.full((len(self._numeric), rows), np.nan)
        for place, column in enumerate(self._numeric):
            received = columns.get(column.name)
            if isinstance(received, np.ndarray):
                numbers[place] = received
            elif received is not None:
                return None
        is_absent = np.isnan(numbers)
        is_outside = (numbers < self._least) | (numbers > self._greatest)
        if is_outside.any() or is_absent[self._is_required].any():
            return None
        whole = numbers[self._is_whole]
        if (np.floor(whole) != whole)[~is_absent[self._is_whole]].any():
            return None
        return numbers


def _read_moments(
    received: npt.NDArray[Any] | Sequence[str | None] | None, rows: int, column: Column
) -> list[float] | None:
    """Return seconds since 1970, NaN for missing; `None` where the contract check is to judge."""
    values = _plain(received, rows)
    if column.missing.is_value_required and None in values:
        return None
    try:
        return [math.nan if value is None else read_seconds(value) for value in values]
    except KeyError:
        return None


def _plain(received: npt.NDArray[Any] | Sequence[str | None] | None, rows: int) -> Sequence[Any]:
    """Return Python's own values, NaN as `None`."""
    if received is None:
        return [None] * rows
    if not isinstance(received, np.ndarray):
        return received
    values = received.tolist()
    return [None if value != value else value for value in values] if received.dtype.kind == "f" else values


def _codes(column: Column) -> dict[Any, str | None]:
    """Return the code that each value means: itself as text, or the number that is written so."""
    result: dict[Any, str | None] = {**codes_by_value(column)}
    if not column.missing.is_value_required:
        result[None] = None
    return result


def _bounds(column: Column) -> tuple[float, float]:
    greatest = {
        ColumnType.FLOAT: GREATEST_FLOAT32,
        ColumnType.INTEGER: float(GREATEST_WHOLE),
        ColumnType.BOOLEAN: 1.0,
    }[column.type]
    least = 0.0 if column.type is ColumnType.BOOLEAN else -greatest
    low, high = column.range or (None, None)
    return least if low is None else max(low, least), greatest if high is None else min(high, greatest)
