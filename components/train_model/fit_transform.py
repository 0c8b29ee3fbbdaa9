"""Learning the preprocessing from rows: fillings, offsets and scales, and the codes there are.

The rows may come in parts, each read as often as there are things to learn of it that need one another: from
where on a number is an outlier, what fills a gap, how large the numbers are. Of one part, as of a table in
memory, everything is exact; of several, what needs an order (medians, quartiles, the most frequent number) is
told by a sample of `MOST_IN_ORDER`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterable, Mapping
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt

from components.train_model.summaries import Moments, Sample
from mulgil.contract import MissingPolicy
from mulgil.contract.dictionary import OutlierPolicy, Scaling
from mulgil.contract.expressions import parse_expression
from mulgil.contract.moments import fingerprint_zone
from mulgil.contract.specifications import PreprocessingColumn, PreprocessingSpecification
from mulgil.errors import InputError, describe
from mulgil.preprocessing import MISSING_CODE, FittedColumn, FittedTransform
from mulgil.preprocessing.rows import TrainingRows
from mulgil.preprocessing.stored_rows import StoredRows

# Below it differences within a column are subnormal in float32, which TensorFlow rounds to zero.
_LEAST_DEVIATION = float(np.finfo(np.float32).tiny / np.finfo(np.float32).eps)

_FLOAT32 = (float(np.finfo(np.float32).min), float(np.finfo(np.float32).max))

# Gives a column's fit in the end; until then, what is to be read of all its raw values next.
Fit = Generator["_Reading", None, FittedColumn]


class _Reading:
    """What is to be learned of a column in one pass over its raw values."""

    def __init__(self, prepare: Callable[[npt.NDArray[Any]], Any], *summaries: Any) -> None:
        self._prepare = prepare
        self._summaries = summaries

    def add(self, raw: npt.NDArray[Any]) -> None:
        values = self._prepare(raw)
        for summary in self._summaries:
            summary.add(values)


class _CodeCounts:
    """How many rows have each of some codes."""

    def __init__(self, codes: Iterable[str]) -> None:
        self.rows = dict.fromkeys(codes, 0)

    def add(self, raw: npt.NDArray[np.object_]) -> None:
        for code in self.rows:
            self.rows[code] += int((raw == code).sum())


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
    return _fit_in_passes(specification, lambda _: [columns])


def fit_rows(specification: PreprocessingSpecification, rows: TrainingRows | StoredRows) -> FittedTransform:
    """Learn the transform from rows wherever they are; see `fit_transform`."""
    if isinstance(rows, StoredRows):
        return _fit_in_passes(specification, rows.columns)
    return fit_transform(specification, rows.tensors)


def _fit_in_passes(
    specification: PreprocessingSpecification,
    read: Callable[[Collection[str]], Iterable[Mapping[str, npt.NDArray[Any]]]],
) -> FittedTransform:
    fits = {column.name: _fit(column) for column in specification.columns}
    fitted: dict[str, FittedColumn] = {}
    asked: dict[str, _Reading] = {}
    while len(fitted) < len(fits):
        for name, fit in fits.items():
            if name not in fitted:
                try:
                    asked[name] = next(fit)
                except StopIteration as end:
                    fitted[name] = end.value
                    asked.pop(name, None)
        if asked:
            for part in read(list(asked)):
                for name, reading in asked.items():
                    reading.add(part[name])
    derived = [column.derived for column in specification.columns if column.derived is not None]
    zones = sorted({zone for text in derived for zone in parse_expression(text).zones})
    return FittedTransform(
        columns=tuple(fitted[column.name] for column in specification.columns),
        moments=specification.moments,
        zones={zone: fingerprint_zone(zone) for zone in zones},
        zone_database=version("tzdata") if zones else None,
    )


def _fit(column: PreprocessingColumn) -> Fit:
    kind = _fit_image if column.image is not None else _fit_codes if column.is_categorical else _fit_number
    fitted = yield from kind(column)
    return fitted.model_copy(update={"derived": column.derived})


def _fit_image(column: PreprocessingColumn) -> Fit:
    # Pixels have known ends, so that nothing need be learned of them.
    yield from ()
    return FittedColumn(name=column.name, is_categorical=False, fill=None, scale=1 / 255, image=column.image)


def _fit_number(column: PreprocessingColumn) -> Fit:
    low: float | None = None
    high: float | None = None

    def present(raw: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        # The statistics are of the float32 values that the model sees, summed in float64.
        numbers = raw[~np.isnan(raw)].astype(np.float64)
        if not np.isfinite(numbers).all():
            raise InputError(
                describe(
                    f"{column.name} has numbers that float32 cannot hold", expected="at most 3.4e38 in size"
                )
            )
        return numbers if low is None else np.clip(numbers, low, high)

    if column.outliers is not OutlierPolicy.KEEP:
        moments, sample = Moments(), Sample()
        yield _Reading(present, moments, sample)
        low, high = _fences(column, moments, sample)

    fill: float | None = None
    if column.missing is MissingPolicy.CONSTANT:
        # As float32, like the values that it stands among.
        fill = float(np.float32(column.constant or 0.0))
    elif not column.missing.is_value_required:
        moments, sample = Moments(), Sample()
        yield _Reading(present, moments, *([] if column.missing is MissingPolicy.MEAN else [sample]))
        fill = _fill(column, moments, sample)

    def filled(raw: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        numbers = present(raw)
        return numbers if fill is None else np.append(numbers, np.full(len(raw) - len(numbers), fill))

    moments, sample = Moments(), Sample()
    yield _Reading(filled, moments, *([sample] if column.scaling is Scaling.ROBUST else []))
    if not moments.count:
        raise _nothing_to_learn(column)
    offset, spread = _size(column.scaling, moments, sample)
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
    column: PreprocessingColumn, present: Moments, sample: Sample
) -> tuple[float | None, float | None]:
    """Return the least and the greatest number that is no outlier, as float32.

    Source:
        Tukey, Exploratory Data Analysis (1977): the outer fences.
    """
    if not present.count:
        return None, None
    lower, upper = np.quantile(sample.values, [0.25, 0.75])
    reach = 3 * (upper - lower)
    low, high = (lower - reach, upper + reach) if reach else (present.low, present.high)
    if column.missing is MissingPolicy.CONSTANT:
        # What was chosen to stand for a missing value is no outlier.
        constant = float(column.constant or 0.0)
        low, high = min(low, constant), max(high, constant)
    return tuple(np.clip([low, high], *_FLOAT32).astype(np.float32).astype(float).tolist())


def _size(scaling: Scaling, values: Moments, sample: Sample) -> tuple[float, float]:
    """Return what is taken from values and what they are then divided by."""
    if scaling is Scaling.NONE:
        return 0.0, 1.0
    deviation = float(values.deviation)
    if values.low == values.high or deviation < _LEAST_DEVIATION:
        return float(values.first), 1.0
    if scaling is Scaling.MIN_MAX:
        return float(values.low), float(values.high - values.low)
    if scaling is Scaling.ROBUST:
        lower, middle, upper = np.quantile(sample.values, [0.25, 0.5, 0.75]).tolist()
        return middle, upper - lower if upper - lower >= _LEAST_DEVIATION else deviation
    return float(values.mean), deviation


def _fill(column: PreprocessingColumn, present: Moments, sample: Sample) -> float:
    if not present.count:
        raise _nothing_to_learn(column)
    if column.missing is MissingPolicy.MEAN:
        return float(present.mean)
    if column.missing is MissingPolicy.MEDIAN:
        return float(np.median(sample.values))
    values, counts = np.unique(sample.values, return_counts=True)
    return float(values[counts.argmax()])


def _fit_codes(column: PreprocessingColumn) -> Fit:
    counted = _CodeCounts((*column.categories, MISSING_CODE))
    yield _Reading(lambda raw: raw, counted)
    counts = {code: counted.rows[code] for code in column.categories}
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
        counts[fill] = counts.get(fill, 0) + counted.rows[MISSING_CODE]
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
