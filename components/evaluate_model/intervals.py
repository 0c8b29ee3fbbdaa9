"""Which interval a metric has: the bootstrap's, but where that is known to be too narrow."""

from __future__ import annotations

import numpy as np

from components.evaluate_model.bootstrap import Replicates
from components.evaluate_model.great_errors import bound_root_mean_square
from components.evaluate_model.mean_losses import MOST_ROWS, bound_mean
from components.evaluate_model.metrics import Floats
from components.evaluate_model.proportions import widen_collapsed
from components.evaluate_model.task_metrics import MEDIAN, Truth, measure_task
from components.evaluate_model.weightings import Weightings
from mulgil.artifacts import Interval
from mulgil.contract import Metric, Task

# Each a mean over rows of what a row alone tells.
_MEAN_LOSSES = frozenset({Metric.LOG_LOSS, Metric.BRIER, Metric.MAE, Metric.PINBALL})


def find_interval(
    replicates: Replicates,
    task: Task,
    metric: Metric,
    target: Truth,
    predicted: Floats,
    confidence: float,
    quantile: float = MEDIAN,
) -> Interval:
    """Return a metric's interval.

    Args:
        replicates: The metric on the rows and their resamples.
        task: The task.
        metric: One of its metrics.
        target: The truth.
        predicted: What the model gave.
        confidence: Of the interval.
        quantile: Of the pinball loss.

    Shapes:
        target: (rows,) or (rows, targets); predicted: (rows,) or (rows, width).
    """
    ends = None
    if metric is Metric.RMSE:
        ends = bound_root_mean_square(predicted - target, confidence)
    # A row has both answers of no label, so that a mean over labels is none over rows.
    elif metric in _MEAN_LOSSES and task is not Task.MULTILABEL_CLASSIFICATION and len(target) <= MOST_ROWS:
        each = Weightings.of_rows(np.eye(len(target)))
        losses = measure_task(task, metric, target, predicted, each, quantile=quantile)
        ends = bound_mean(losses, confidence)
    if ends is not None:
        return Interval(value=replicates.value, low=ends[0], high=ends[1], confidence=confidence)
    return widen_collapsed(replicates.interval(confidence), task, metric, target, predicted)
