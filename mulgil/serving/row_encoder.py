"""From checked instances to the model's input, by code written for the one transform of the bundle.

The transform executor does the same for whole columns. For one row its numpy calls cost more than the model,
so that here a row is packed by one call of `struct`, and all rows are then scaled by two of numpy.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mulgil.contract.dictionary import Column
from mulgil.preprocessing import FittedColumn, FittedTransform
from mulgil.preprocessing.executor import clip_fences
from mulgil.serving.derivation import Derivation
from mulgil.serving.typed_values import number_of_code

_subtract, _multiply = np.subtract, np.multiply

Vector = tuple[float, ...]
Numbers = npt.NDArray[np.float32]
Pack = Callable[[npt.NDArray[np.float32], int, object], None]


class RowEncoder:
    """Encodes instances whose values were checked by type.

    Args:
        transform: What was fitted.
        columns: The dictionary's features, in the same order.
        inputs: What an instance has.
    """

    def __init__(
        self, transform: FittedTransform, columns: Sequence[Column], inputs: Sequence[Column]
    ) -> None:
        self._width = transform.width
        self._stride = 4 * transform.width
        self._offset, self._scale = _affine(transform)
        self._fences = clip_fences([column for column in transform.columns for _ in range(column.width)])
        self._pack = _write_pack(transform, columns, inputs)
        # Used again for each request of one row: there is one request at a time.
        self._one = np.zeros((1, transform.width), np.float32)
        # Numpy computes on one dimension in a third of the time.
        self._row = self._one[0]

    def encode(self, rows: Sequence[object]) -> npt.NDArray[np.float32]:
        """Encode instances; what was returned for a single one is overwritten by the next call.

        Args:
            rows: Objects with an attribute a column; `None` is missing.

        Shapes:
            (rows, width).

        Raises:
            KeyError: A code is not written as the dictionary writes it, or a derived column that must have a
                value has none.
            OverflowError: A filling does not fit float32.
        """
        if len(rows) == 1:
            numbers = self._row
            self._pack(numbers, 0, rows[0])
            if self._fences is not None:
                _clip(numbers, *self._fences)
            _subtract(numbers, self._offset, numbers)
            _multiply(numbers, self._scale, numbers)
            return self._one
        result = np.empty((len(rows), self._width), np.float32)
        pack, stride = self._pack, self._stride
        for place, row in enumerate(rows):
            pack(result, place * stride, row)
        if self._fences is not None:
            _clip(result, *self._fences)
        np.subtract(result, self._offset, out=result)
        np.multiply(result, self._scale, out=result)
        return result


def _clip(numbers: Numbers, low: Numbers, high: Numbers) -> None:
    # Half the time of np.clip, which is written in Python.
    np.maximum(numbers, low, out=numbers)
    np.minimum(numbers, high, out=numbers)


def code_vectors(fitted: FittedColumn, column: Column) -> dict[str | int | float | None, Vector]:
    """Return the one-hot vector by code and by the number that means it; under `None`, of a missing one."""
    vectors = {
        code: tuple(float(code == one) for one in fitted.codes)
        for code in (*(column.categories or ()), *fitted.codes, fitted.fill)
    }
    result: dict[str | int | float | None, Vector] = {
        number: vectors[code]
        for code in column.categories or ()
        for number in [number_of_code(code)]
        if number is not None
    }
    result |= {code: vectors[code] for code in column.categories or ()}
    result[None] = vectors[fitted.fill]
    return result


def _affine(transform: FittedTransform) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return offset and scale of each number of the input; a one-hot vector's stay as they are."""
    scaled = [
        (0.0, 1.0) if column.is_categorical else (column.offset, column.scale)
        for column in transform.columns
        for _ in range(column.width)
    ]
    offset, scale = np.array(scaled, np.float32).reshape(-1, 2).T.copy()
    return offset, scale


def _write_pack(transform: FittedTransform, columns: Sequence[Column], inputs: Sequence[Column]) -> Pack:
    """Write the function that puts one row's raw numbers and one-hot vectors into the input.

    Names of columns are the only text of others in the code, and the dictionary allows only identifiers.
    """
    names: dict[str, Any] = {"pack_into": struct.Struct(f"={transform.width}f").pack_into}
    arguments = []
    for place, (fitted, column) in enumerate(zip(transform.columns, columns, strict=True)):
        value = f"row.{column.name}"
        if column.is_derived_feature:
            names[f"derive_{place}"] = Derivation(column, inputs).of_instance
            value = f"derive_{place}(row)"
        if not fitted.is_selected:
            # Its code, or a derived value that must be there, is still asked for, as the contract says.
            if fitted.is_categorical:
                names[f"known_{place}"] = dict.fromkeys(code_vectors(fitted, column), ())
                arguments.append(f"*known_{place}[{value}]")
            elif column.is_derived_feature:
                names[f"leave_{place}"] = _leave_out
                arguments.append(f"*leave_{place}({value})")
        elif fitted.is_categorical:
            names[f"vectors_{place}"] = code_vectors(fitted, column)
            arguments.append(f"*vectors_{place}[{value}]")
        elif column.missing.is_value_required:
            arguments.append(value)
        else:
            names[f"fill_{place}"] = float("nan") if fitted.fill is None else float(fitted.fill)
            arguments.append(f"fill_{place} if (v := {value}) is None else v")
    source = f"def pack(numbers, place, row):\n    pack_into(numbers, place, {', '.join(arguments)})\n"
    exec(compile(source, "<row encoder>", "exec"), names)
    return names["pack"]  # type: ignore[no-any-return]


def _leave_out(value: object) -> Vector:
    del value
    return ()
