"""The metrics of every task, over many weightings of the same rows at once.

Of several classes each is held against the rest, and of several labels each is measured alone; the metric is
the mean over those that the weighted rows tell apart: a resample that lost a rare class measures the others.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from components.evaluate_model.metrics import LEAST_PROBABILITY, THRESHOLD, measure, ratio
from components.evaluate_model.weightings import Booleans, Floats, Weightings
from mulgil.contract import Metric, Task

Truth = npt.NDArray[Any]

# Whose pinball loss is half the absolute error.
MEDIAN = 0.5


def measure_task(
    task: Task,
    metric: Metric,
    target: Truth,
    predicted: Floats,
    weights: Weightings,
    *,
    quantile: float,
) -> Floats:
    """Compute a task's metric under each weighting.

    Args:
        task: The task.
        metric: One of its metrics.
        target: The truth, as `TrainingRows.target` has it.
        predicted: What the model gave: probabilities, or numbers in the target's unit.
        weights: How much each row counts; each weighting is measurable.
        quantile: Of the pinball loss.

    Returns:
        The metric under each weighting.

    Shapes:
        target: (rows,) or (rows, targets); predicted: (rows,) or (rows, width); returns (weightings,).
    """
    match task:
        case Task.BINARY_CLASSIFICATION:
            return measure(metric, target, predicted, weights)
        case Task.MULTICLASS_CLASSIFICATION:
            return _of_classes(metric, target, predicted, weights)
        case Task.MULTILABEL_CLASSIFICATION:
            return _of_labels(metric, target, predicted, weights)
    return _of_numbers(metric, target, predicted, weights, quantile)


def is_measurable(task: Task, target: Truth, weights: Weightings) -> Booleans:
    """Return for each weighting whether its rows tell anything apart.

    Shapes:
        returns (weightings,).
    """
    if task is Task.MULTICLASS_CLASSIFICATION:
        return (np.stack([weights.total(target == one) for one in np.unique(target)]) > 0).sum(axis=0) > 1
    columns = target.reshape(len(target), -1)
    if task.is_classification:
        return np.any([(weights.total(one) > 0) & (weights.total(~one) > 0) for one in columns.T], axis=0)
    return np.all([weights.varies(one) for one in columns.T], axis=0)


def _of_classes(metric: Metric, target: Truth, probabilities: Floats, weights: Weightings) -> Floats:
    """Compute accuracy and losses over all classes, and of the others the mean of each class.

    Source:
        scikit-learn 1.7: `average="macro"`, `multi_class="ovr"`, and Brier's own sum over classes, which is
        twice that of a yes and a no.
    """
    classes = np.arange(probabilities.shape[1])
    called = probabilities.argmax(axis=1)
    if metric is Metric.ACCURACY:
        return weights.average(called == target)
    if metric is Metric.LOG_LOSS:
        of_truth = probabilities[np.arange(len(target)), target]
        return weights.average(-np.log(np.clip(of_truth, LEAST_PROBABILITY, 1)))
    if metric is Metric.BRIER:
        return weights.average(((probabilities - (target[:, None] == classes)) ** 2).sum(axis=1))
    # What is called decides precision, recall and F1: as a probability it lies beside the threshold.
    is_called = metric in (Metric.PRECISION, Metric.RECALL, Metric.F1)
    scores = (called[:, None] == classes).astype(np.float64) if is_called else probabilities
    needs_others = not is_called
    return _mean_of_each(
        metric, [target == one for one in classes], scores, weights, needs_others=needs_others
    )


def _of_labels(metric: Metric, target: Truth, probabilities: Floats, weights: Weightings) -> Floats:
    if metric is Metric.SUBSET_ACCURACY:
        is_right = ((probabilities >= THRESHOLD) == target).all(axis=1)
        return weights.average(is_right)
    return _mean_of_each(metric, list(target.T), probabilities, weights, needs_others=True)


def _mean_of_each(
    metric: Metric,
    targets: list[Booleans],
    scores: Floats,
    weights: Weightings,
    *,
    needs_others: bool,
) -> Floats:
    """Average a metric over those targets that each weighting has rows of, and of others where need be."""
    total, counted = np.zeros(len(weights)), np.zeros(len(weights))
    for place, one in enumerate(targets):
        is_there = weights.total(one) > 0
        if needs_others:
            is_there &= weights.total(~one) > 0
        if is_there.any():
            total[is_there] += measure(metric, one, scores[:, place], weights.chosen(is_there))
            counted += is_there
    return ratio(total, counted)


def _of_numbers(
    metric: Metric, target: Truth, predicted: Floats, weights: Weightings, quantile: float
) -> Floats:
    """Compute the mean over the targets, each in its own unit.

    Source:
        scikit-learn 1.7: `multioutput="uniform_average"`.
    """
    columns = zip(target.reshape(len(target), -1).T, predicted.reshape(len(target), -1).T, strict=True)
    parts = [_of_number(metric, true, given, weights, quantile) for true, given in columns]
    mean: Floats = np.mean(parts, axis=0)
    return mean


def _of_number(
    metric: Metric, target: Floats, predicted: Floats, weights: Weightings, quantile: float
) -> Floats:
    match metric:
        case Metric.MAE:
            return weights.average(np.abs(predicted - target))
        case Metric.RMSE:
            return np.sqrt(weights.average((predicted - target) ** 2))
        case Metric.PINBALL:
            # Koenker & Bassett (1978), Regression quantiles, Econometrica 46.
            missing = target - predicted
            return weights.average(np.maximum(quantile * missing, (quantile - 1) * missing))
        case Metric.R2:
            # Around a mean of all rows first, so that great numbers keep their digits.
            centred = target - target.mean()
            variance = weights.average(centred**2) - weights.average(centred) ** 2
            return 1 - weights.average((predicted - target) ** 2) / variance
    raise ValueError(f"{metric} is no metric of a number")
