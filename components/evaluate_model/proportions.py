"""Intervals of counted shares where the bootstrap tells nothing.

Rows without one error have no resample with one: the bootstrap of an accuracy of 1 on 53 rows ends at 1 on
both sides, as if it were known. What they do exclude is a share that would seldom have let all of them pass.

Source:
    Clopper & Pearson (1934), The use of confidence or fiducial limits illustrated in the case of the
    binomial, Biometrika 26(4): of n alike out of n, the lower limit is (alpha / 2) ** (1 / n).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from components.evaluate_model.metrics import THRESHOLD
from mulgil.artifacts import Interval
from mulgil.contract import Metric, Task

Booleans = npt.NDArray[np.bool_]


def widen_collapsed(
    interval: Interval,
    task: Task,
    metric: Metric,
    target: npt.NDArray[np.generic],
    predicted: npt.NDArray[np.float64],
) -> Interval:
    """Return the interval, or where it has no width at 0 or 1 and the metric counts rows, the counts' own.

    A mean over classes or labels gets the mean of their limits, which holds however they depend on each
    other: were the true mean beyond it, one of the true shares would be beyond its own limit.

    Args:
        interval: The bootstrap's.
        task: The task.
        metric: One of its metrics.
        target: The truth.
        predicted: What the model gave.

    Shapes:
        target: (rows,) or (rows, targets); predicted: (rows,) or (rows, width).
    """
    if interval.low < interval.high or interval.value not in (0, 1):
        return interval
    counted = [_count(metric, called, true) for called, true in _pairs(task, metric, target, predicted)]
    exponents = [1 / among if among else np.inf for among in counted if among is not None]
    if not exponents:
        return interval
    least = ((1 - interval.confidence) / 2) ** np.array(exponents)
    is_whole = interval.value == 1
    limits = least if is_whole else 1 - least
    if metric is Metric.F1:
        # Of the share s of those called or true that are both, F1 is 2 s / (1 + s).
        limits = 2 * limits / (1 + limits)
    limit = float(limits.mean())
    low, high = (limit, 1.0) if is_whole else (0.0, limit)
    return Interval(value=interval.value, low=low, high=high, confidence=interval.confidence)


def _pairs(
    task: Task, metric: Metric, target: npt.NDArray[np.generic], predicted: npt.NDArray[np.float64]
) -> list[tuple[Booleans, Booleans]]:
    """Return what is called a yes and what is one, of each class or label that is counted alone."""
    match task:
        case Task.BINARY_CLASSIFICATION:
            return [(predicted >= THRESHOLD, target.astype(bool))]
        case Task.MULTICLASS_CLASSIFICATION:
            called = predicted.argmax(axis=1)
            if metric is Metric.ACCURACY:
                return [(called == target, called == target)]
            return [(called == one, target == one) for one in np.unique(target)]
        case Task.MULTILABEL_CLASSIFICATION:
            called, true = predicted >= THRESHOLD, target.astype(bool)
            if metric is Metric.SUBSET_ACCURACY:
                return [(called[:, 0], true[:, 0])]
            tells_apart = true.any(axis=0) & ~true.all(axis=0)
            return [(called[:, one], true[:, one]) for one in np.flatnonzero(tells_apart)]
    return []


def _count(metric: Metric, called: Booleans, true: Booleans) -> int | None:
    """Return of how many rows a metric is a share; `None` where it is none."""
    match metric:
        case Metric.ACCURACY | Metric.SUBSET_ACCURACY:
            return len(true)
        case Metric.PRECISION:
            return int(called.sum())
        case Metric.RECALL | Metric.FALSE_NEGATIVE_RATE:
            return int(true.sum())
        case Metric.FALSE_POSITIVE_RATE:
            return int((~true).sum())
        case Metric.F1:
            return int((called | true).sum())
    return None
