"""Which interval a metric has: the bootstrap's, but where that is known to be too narrow."""

from __future__ import annotations

from components.evaluate_model.bootstrap import Replicates
from components.evaluate_model.great_errors import bound_root_mean_square
from components.evaluate_model.metrics import Floats
from components.evaluate_model.proportions import widen_collapsed
from components.evaluate_model.task_metrics import Truth
from mulgil.artifacts import Interval
from mulgil.contract import Metric, Task


def find_interval(
    replicates: Replicates, task: Task, metric: Metric, target: Truth, predicted: Floats, confidence: float
) -> Interval:
    """Return a metric's interval.

    Args:
        replicates: The metric on the rows and their resamples.
        task: The task.
        metric: One of its metrics.
        target: The truth.
        predicted: What the model gave.
        confidence: Of the interval.

    Shapes:
        target: (rows,) or (rows, targets); predicted: (rows,) or (rows, width).
    """
    if metric is Metric.RMSE:
        ends = bound_root_mean_square(predicted - target, confidence)
        if ends is not None:
            return Interval(value=replicates.value, low=ends[0], high=ends[1], confidence=confidence)
    return widen_collapsed(replicates.interval(confidence), task, metric, target, predicted)
