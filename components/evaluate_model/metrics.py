"""The metrics of binary classification, over many weightings of the same rows at once.

A bootstrap resample of n rows is a vector of n whole numbers: how often each row was drawn. So a metric that
takes weights serves the rows as they are, every resample and every leave-one-out in one call, without
sorting the scores again.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mulgil.contract import Metric

Booleans = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

# A probability from here is a yes.
THRESHOLD = 0.5

# scikit-learn's for float32 scores: a sure and wrong answer costs 16 nats, not infinity.
LEAST_PROBABILITY = float(np.finfo(np.float32).eps)


def measure(metric: Metric, target: Booleans, probability: Floats, weights: Floats) -> Floats:
    """Compute a metric under each weighting.

    Args:
        metric: Which.
        target: The truth, with both classes.
        probability: What the model gave for yes.
        weights: How much each row counts; each weighting gives both classes some weight.

    Returns:
        The metric under each weighting; precision and F1 are 0 where nothing is called a yes.

    Shapes:
        target and probability: (rows,); weights: (weightings, rows); returns (weightings,).
    """
    match metric:
        case Metric.ROC_AUC:
            return _roc_auc(target, probability, weights)
        case Metric.PR_AUC:
            return _pr_auc(target, probability, weights)
        case Metric.LOG_LOSS:
            clipped = np.clip(probability, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
            return average(-np.log(np.where(target, clipped, 1 - clipped)), weights)
        case Metric.BRIER:
            return average((probability - target) ** 2, weights)
    called = probability >= THRESHOLD
    if metric is Metric.ACCURACY:
        return average((called == target).astype(np.float64), weights)
    true_positive = weights @ (called & target)
    if metric is Metric.PRECISION:
        return ratio(true_positive, weights @ called)
    if metric is Metric.RECALL:
        return ratio(true_positive, weights @ target)
    if metric is Metric.FALSE_POSITIVE_RATE:
        return ratio(weights @ (called & ~target), weights @ ~target)
    if metric is Metric.FALSE_NEGATIVE_RATE:
        return ratio(weights @ (~called & target), weights @ target)
    if metric is Metric.F1:
        return ratio(2 * true_positive, weights @ called + weights @ target)
    raise ValueError(f"{metric} is no metric of a yes and a no")


def _roc_auc(target: Booleans, probability: Floats, weights: Floats) -> Floats:
    """Compute the share of (yes, no) pairs that the scores order rightly; a tie counts half.

    Source:
        Hanley & McNeil (1982), The meaning and use of the area under a ROC curve, Radiology 143(1).
    """
    positive, negative = _by_score(target, probability, weights)
    below = np.cumsum(negative, axis=1) - negative
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    return (positive * (below + negative / 2)).sum(axis=1) / pairs


def _pr_auc(target: Booleans, probability: Floats, weights: Floats) -> Floats:
    """Compute average precision: the precision at each threshold, weighted by the recall it adds.

    Source:
        scikit-learn 1.7, `average_precision_score`: no interpolation, which would be too optimistic.
    """
    positive, negative = (part[:, ::-1] for part in _by_score(target, probability, weights))
    found = np.cumsum(positive, axis=1)
    precision = ratio(found, found + np.cumsum(negative, axis=1))
    return (positive * precision).sum(axis=1) / found[:, -1]


def _by_score(target: Booleans, probability: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Sum the weights of the yes and of the no rows at each distinct score, in rising order."""
    order = np.argsort(probability, kind="stable")
    starts = np.flatnonzero(np.diff(probability[order], prepend=-np.inf))
    sorted_weights = weights[:, order]
    positive = np.add.reduceat(sorted_weights * target[order], starts, axis=1)
    return positive, np.add.reduceat(sorted_weights, starts, axis=1) - positive


def average(values: Floats, weights: Floats) -> Floats:
    """Return the weighted mean under each weighting."""
    return (weights @ values) / weights.sum(axis=1)


def ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Divide; what is divided by nothing is 0."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)
