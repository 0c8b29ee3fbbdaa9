"""Learning the preprocessing from rows: fillings, offsets and scales, and the codes there are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from mulgil.contract import MissingPolicy
from mulgil.contract.dictionary import OutlierPolicy, Scaling
from mulgil.contract.specifications import PreprocessingColumn, PreprocessingSpecification
from mulgil.errors import InputError, describe
from mulgil.preprocessing import MISSING_CODE, FittedColumn, FittedTransform

# Below it differences within a column are subnormal in float32, which TensorFlow rounds to zero.
_LEAST_DEVIATION = float(np.finfo(np.float32).tiny / np.finfo(np.float32).eps)

_FLOAT32 = (float(np.finfo(np.float32).min), float(np.finfo(np.float32).max))


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
            (
                _fit_image(column)
                if column.image is not None
                else _fit_codes(column, columns[column.name])
                if column.is_categorical
                else _fit_number(column, columns[column.name])
            ).model_copy(update={"derived": column.derived})
            for column in specification.columns
        ),
        moments=specification.moments,
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
    low, high = _fences(column, present)
    present = present if low is None else np.clip(present, low, high)
    fill = _fill_number(column, present)
    filled = present if fill is None else np.append(present, np.full(len(raw) - len(present), fill))
    if not len(filled):
        raise _nothing_to_learn(column)
    offset, spread = _size(column.scaling, filled)
    return FittedColumn(
        name=column.name,
        is_categorical=False,
        fill=fill,
        low=low,
        high=high,
        offset=offset,
        scale=1.0 / spread,
    )


def _fences(
    column: PreprocessingColumn, present: npt.NDArray[np.float64]
) -> tuple[float | None, float | None]:
    """Return the least and the greatest number that is no outlier, as float32.

    Source:
        Tukey, Exploratory Data Analysis (1977): the outer fences.
    """
    if column.outliers is OutlierPolicy.KEEP or not len(present):
        return None, None
    lower, upper = np.quantile(present, [0.25, 0.75])
    reach = 3 * (upper - lower)
    low, high = (lower - reach, upper + reach) if reach else (present.min(), present.max())
    if column.missing is MissingPolicy.CONSTANT:
        # What was chosen to stand for a missing value is no outlier.
        constant = float(column.constant or 0.0)
        low, high = min(low, constant), max(high, constant)
    return tuple(np.clip([low, high], *_FLOAT32).astype(np.float32).astype(float).tolist())


def _size(scaling: Scaling, values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Return what is taken from values and what they are then divided by."""
    if scaling is Scaling.NONE:
        return 0.0, 1.0
    deviation = float(values.std())
    if values.min() == values.max() or deviation < _LEAST_DEVIATION:
        return float(values[0]), 1.0
    if scaling is Scaling.MIN_MAX:
        return float(values.min()), float(values.max() - values.min())
    if scaling is Scaling.ROBUST:
        lower, middle, upper = np.quantile(values, [0.25, 0.5, 0.75]).tolist()
        return middle, upper - lower if upper - lower >= _LEAST_DEVIATION else deviation
    return float(values.mean()), deviation


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
