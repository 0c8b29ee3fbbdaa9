"""The fitted transform in front of a numeric model, in numpy alone.

The SavedModel holds the same transform in its graph; a differential test holds the two equal. Arithmetic is
float32, as in the graph.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from mulgil.contract.expressions import parse_expression
from mulgil.contract.moments import seconds_of
from mulgil.contract.values import read_moment
from mulgil.images import decode_image
from mulgil.preprocessing.derived import derive_values
from mulgil.preprocessing.fitted import MISSING_CODE, FittedColumn, FittedTransform

# An image is its file, or its pixels from 0 to 255.
Values = Sequence[float | int | bool | str | datetime | None] | Sequence[bytes] | npt.NDArray[Any]

_NOWHERE = -1
# From here on numpy marks in less time than Python. Chosen by eye.
_MANY = 16


def clip_fences(
    columns: Sequence[FittedColumn],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]] | None:
    """Return the least and the greatest number that each column keeps; `None` where none clips any.

    Shapes:
        (columns,) each.
    """
    if all(column.low is None and column.high is None for column in columns):
        return None
    low = [-np.inf if column.low is None else column.low for column in columns]
    high = [np.inf if column.high is None else column.high for column in columns]
    return np.array(low, np.float32), np.array(high, np.float32)


class TransformExecutor:
    """Applies a fitted transform to raw columns.

    Args:
        transform: What was fitted.
    """

    def __init__(self, transform: FittedTransform) -> None:
        selected = [column for column in transform.columns if column.is_selected]
        numeric = [column for column in selected if not column.is_categorical and column.image is None]
        fills = [np.nan if column.fill is None else column.fill for column in numeric]
        starts = np.cumsum([0, *(column.width for column in transform.columns)]).tolist()
        place_of = dict(zip((column.name for column in transform.columns), starts, strict=False))
        self._first = transform.names[0]
        self._moments = frozenset(transform.moments)
        self._derived = {c.name: parse_expression(c.derived) for c in transform.columns if c.derived}
        self._operands = {name for expression in self._derived.values() for name in expression.columns}
        self._codes = {column.name for column in transform.columns if column.is_categorical}
        self._width = transform.width
        # The numeric columns are computed together: one numpy call a column would cost more than the model.
        self._numeric = tuple(column.name for column in numeric)
        self._numeric_places = np.array([place_of[name] for name in self._numeric], dtype=np.intp)
        self._fill = np.array(fills, dtype=np.float32)[:, None]
        self._fences = clip_fences(numeric)
        self._offset = np.array([column.offset for column in numeric], dtype=np.float32)[:, None]
        self._scale = np.array([column.scale for column in numeric], dtype=np.float32)[:, None]
        self._categorical = tuple(
            (column.name, _Places(column, place_of[column.name]))
            for column in selected
            if column.is_categorical
        )
        self._images = tuple(
            (column, place_of[column.name]) for column in selected if column.image is not None
        )

    def apply(self, columns: Mapping[str, Values]) -> npt.NDArray[np.float32]:
        """Encode rows.

        Args:
            columns: Raw values by column, all of one length; `None` is missing, and so are NaN and
                `MISSING_CODE`. A moment is itself, or its seconds since 1970.

        Returns:
            The model's numeric input.

        Shapes:
            (rows, width).

        Raises:
            KeyError: A column of the transform is not there.
            UnreadableImageError: An image's file is none.
        """
        result = np.zeros((len(columns[self._first]), self._width), dtype=np.float32)
        if self._derived:
            columns = {**columns, **self.derive(columns)}
        if self._numeric:
            # numpy reads None as NaN.
            numbers = np.array([columns[name] for name in self._numeric], dtype=np.float32)
            np.copyto(numbers, self._fill, where=np.isnan(numbers))
            if self._fences is not None:
                low, high = self._fences
                np.clip(numbers, low[:, None], high[:, None], out=numbers)
            result[:, self._numeric_places] = ((numbers - self._offset) * self._scale).T
        for name, places in self._categorical:
            _mark(result, [*map(places.__getitem__, columns[name])])
        for column, start in self._images:
            assert column.image is not None
            pixels = result[:, start : start + column.width]
            for row, image in enumerate(columns[column.name]):
                pixels[row] = decode_image(image, column.image) if isinstance(image, bytes) else image
            np.subtract(pixels, np.float32(column.offset), out=pixels)
            np.multiply(pixels, np.float32(column.scale), out=pixels)
        return result

    def derive(self, columns: Mapping[str, Values]) -> dict[str, npt.NDArray[Any]]:
        """Compute the derived columns, from raw columns as `apply` takes them."""
        operands = {
            name: np.array([MISSING_CODE if code is None else code for code in columns[name]], dtype=object)
            if name in self._codes
            else np.array([_seconds(value) for value in columns[name]], dtype=np.float64)
            if name in self._moments
            else np.array(columns[name], dtype=np.float32)
            for name in self._operands
        }
        rows = len(columns[self._first])
        return {name: derive_values(expression, operands, rows) for name, expression in self._derived.items()}


class _Places(dict[object, int]):
    """Where each code of a column has its number; `_NOWHERE` for one that was not seen in training."""

    def __init__(self, column: FittedColumn, start: int) -> None:
        super().__init__((code, place) for place, code in enumerate(column.codes, start))
        missing = self[column.fill]
        self[None] = self[MISSING_CODE] = missing

    def __missing__(self, code: object) -> int:
        return _NOWHERE


def _mark(result: npt.NDArray[np.float32], places: list[int]) -> None:
    """Set one place in each row to 1."""
    if len(places) < _MANY:
        for row, place in enumerate(places):
            if place != _NOWHERE:
                result[row, place] = 1.0
        return
    found = np.array(places)
    rows = np.flatnonzero(found != _NOWHERE)
    result[rows, found[rows]] = 1.0


def _seconds(value: object) -> float:
    if isinstance(value, int | float):
        return float(value)
    moment = read_moment(value)
    return float("nan") if moment is None else seconds_of(moment)
