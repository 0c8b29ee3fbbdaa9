"""The fitted transform in front of a numeric model, in numpy alone.

The SavedModel holds the same transform as layers of its graph; a differential test holds the two equal.
Arithmetic is float32, as in the graph.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from mulgil.preprocessing.fitted import FittedTransform

Values = Sequence[float | int | bool | str | None]


class TransformExecutor:
    """Applies a fitted transform to raw columns.

    Args:
        transform: What was fitted.
    """

    def __init__(self, transform: FittedTransform) -> None:
        self._transform = transform

    def apply(self, columns: Mapping[str, Values]) -> npt.NDArray[np.float32]:
        """Encode rows.

        Args:
            columns: Raw values by column, all of one length; `None` is missing.

        Returns:
            The model's numeric input.

        Shapes:
            (rows, width).

        Raises:
            KeyError: A column of the transform is not there.
        """
        rows = len(columns[self._transform.columns[0].name])
        result = np.zeros((rows, self._transform.width), dtype=np.float32)
        at = 0
        for column in self._transform.columns:
            values = columns[column.name]
            filled = [column.fill if value is None else value for value in values]
            if column.is_categorical:
                places = {code: at + i for i, code in enumerate(column.codes)}
                for row, code in enumerate(filled):
                    place = places.get(code)  # type: ignore[arg-type]
                    if place is not None:
                        result[row, place] = 1.0
            else:
                numbers = np.asarray(filled, dtype=np.float32)
                result[:, at] = (numbers - np.float32(column.offset)) * np.float32(column.scale)
            at += column.width
        return result
