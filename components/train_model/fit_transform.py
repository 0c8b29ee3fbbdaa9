"""Learning the preprocessing from rows: fillings, offsets and scales, and the codes there are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from mulgil.contract import MissingPolicy
from mulgil.contract.specifications import PreprocessingColumn, PreprocessingSpecification
from mulgil.errors import InputError, describe
from mulgil.preprocessing import MISSING_CODE, FittedColumn, FittedTransform

# Below it differences within a column are subnormal in float32, which TensorFlow rounds to zero.
_LEAST_DEVIATION = float(np.finfo(np.float32).tiny / np.finfo(np.float32).eps)


def fit_transform(
    specification: PreprocessingSpecification, columns: Mapping[str, npt.NDArray[Any]]
) -> FittedTransform:
    """Learn the transform.

    Args:
        specification: Which columns there are, and what happens where a value is missing.
        columns: Raw values of the rows to learn from, in the form of `TrainingRows.tensors`.

    Returns:
        The transform; it depends on these rows alone.

    Raises:
        InputError: A column cannot be learned from: nothing but missing values, or a number beyond float32.
    """
    return FittedTransform(
        columns=tuple(
            _fit_image(column)
            if column.image is not None
            else _fit_codes(column, columns[column.name])
            if column.is_categorical
            else _fit_number(column, columns[column.name])
            for column in specification.columns
        )
    )


def _fit_image(column: PreprocessingColumn) -> FittedColumn:
    # Pixels have known ends, so that nothing need be learned of them.
    return FittedColumn(name=column.name, is_categorical=False, fill=None, scale=1 / 255, image=column.image)


def _fit_number(column: PreprocessingColumn, raw: npt.NDArray[np.float32]) -> FittedColumn:
    # The statistics are of the float32 values that the model sees, summed in float64.
    present = raw[~np.isnan(raw)].astype(np.float64)
    if not np.isfinite(present).all():
        raise InputError(
            describe(f"{column.name} has numbers that float32 cannot hold", expected="at most 3.4e38 in size")
        )
    fill = _fill_number(column, present)
    filled = present if fill is None else np.append(present, np.full(len(raw) - len(present), fill))
    if not len(filled):
        raise _nothing_to_learn(column)
    deviation = float(filled.std())
    is_constant = filled.min() == filled.max() or deviation < _LEAST_DEVIATION
    return FittedColumn(
        name=column.name,
        is_categorical=False,
        fill=fill,
        offset=float(filled[0] if is_constant else filled.mean()),
        scale=1.0 if is_constant else 1.0 / deviation,
    )


def _fill_number(column: PreprocessingColumn, present: npt.NDArray[np.float64]) -> float | None:
    if column.missing.is_value_required:
        return None
    if column.missing is MissingPolicy.CONSTANT:
        # As float32, like the values that it stands among.
        return float(np.float32(column.constant or 0.0))
    if not len(present):
        raise _nothing_to_learn(column)
    if column.missing is MissingPolicy.MEAN:
        return float(present.mean())
    if column.missing is MissingPolicy.MEDIAN:
        return float(np.median(present))
    values, counts = np.unique(present, return_counts=True)
    return float(values[counts.argmax()])


def _fit_codes(column: PreprocessingColumn, raw: npt.NDArray[np.object_]) -> FittedColumn:
    counts = {code: int((raw == code).sum()) for code in column.categories}
    fill: str | None = None
    if column.missing is MissingPolicy.CONSTANT:
        fill = str(column.constant)
    elif column.missing is MissingPolicy.NEW_CATEGORY:
        fill = MISSING_CODE
    elif column.missing is MissingPolicy.MOST_FREQUENT:
        if not any(counts.values()):
            raise _nothing_to_learn(column)
        # Of equally frequent codes the dictionary's first.
        fill = max(counts, key=lambda code: counts[code])
    if fill is not None:
        counts[fill] = counts.get(fill, 0) + int((raw == MISSING_CODE).sum())
    codes = tuple(code for code, count in counts.items() if count)
    if not codes:
        raise _nothing_to_learn(column)
    return FittedColumn(name=column.name, is_categorical=True, fill=fill, codes=codes)


def _nothing_to_learn(column: PreprocessingColumn) -> InputError:
    return InputError(
        describe(
            f"{column.name} has no value in any row that the model is fitted on",
            expected=f"some value to learn missing={column.missing} from",
            next_step="give the column the role ignore, or bring rows that have it",
        )
    )
