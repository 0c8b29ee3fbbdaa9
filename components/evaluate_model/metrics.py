"""The metrics of binary classification, over many weightings of the same rows at once."""

from __future__ import annotations

import numpy as np

from components.evaluate_model.weightings import Booleans, Floats, Weightings
from mulgil.contract import Metric

# A probability from here is a yes.
THRESHOLD = 0.5

# scikit-learn's for float32 scores: a sure and wrong answer costs 16 nats, not infinity.
LEAST_PROBABILITY = float(np.finfo(np.float32).eps)


def measure(metric: Metric, target: Booleans, probability: Floats, weights: Weightings) -> Floats:
    """Compute a metric under each weighting.

    Args:
        metric: Which.
        target: The truth, with both classes.
        probability: What the model gave for yes.
        weights: How much each row counts; each weighting gives both classes some weight.

    Returns:
        The metric under each weighting; precision and F1 are 0 where nothing is called a yes.

    Shapes:
        target and probability: (rows,); returns (weightings,).
    """
    match metric:
        case Metric.ROC_AUC:
            return _roc_auc(target, probability, weights)
        case Metric.PR_AUC:
            return _pr_auc(target, probability, weights)
        case Metric.LOG_LOSS:
            clipped = np.clip(probability, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
            return weights.average(-np.log(np.where(target, clipped, 1 - clipped)))
        case Metric.BRIER:
            return weights.average((probability - target) ** 2)
    called = probability >= THRESHOLD
    if metric is Metric.ACCURACY:
        return weights.average(called == target)
    true_positive = weights.total(called & target)
    if metric is Metric.PRECISION:
        return ratio(true_positive, weights.total(called))
    if metric is Metric.RECALL:
        return ratio(true_positive, weights.total(target))
    if metric is Metric.FALSE_POSITIVE_RATE:
        return ratio(weights.total(called & ~target), weights.total(~target))
    if metric is Metric.FALSE_NEGATIVE_RATE:
        return ratio(weights.total(~called & target), weights.total(target))
    if metric is Metric.F1:
        return ratio(2 * true_positive, weights.total(called) + weights.total(target))
    raise ValueError(f"{metric} is no metric of a yes and a no")


def _roc_auc(target: Booleans, probability: Floats, weights: Weightings) -> Floats:
    """Compute the share of (yes, no) pairs that the scores order rightly; a tie counts half.

    Source:
        Hanley & McNeil (1982), The meaning and use of the area under a ROC curve, Radiology 143(1).
    """
    positive, negative = weights.by_level(target, probability)
    below = np.cumsum(negative, axis=1) - negative
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    return (positive * (below + negative / 2)).sum(axis=1) / pairs


def _pr_auc(target: Booleans, probability: Floats, weights: Weightings) -> Floats:
    """Compute average precision: the precision at each threshold, weighted by the recall it adds.

    Source:
        scikit-learn 1.7, `average_precision_score`: no interpolation, which would be too optimistic.
    """
    positive, negative = (part[:, ::-1] for part in weights.by_level(target, probability))
    found = np.cumsum(positive, axis=1)
    precision = ratio(found, found + np.cumsum(negative, axis=1))
    return (positive * precision).sum(axis=1) / found[:, -1]


def ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Divide; what is divided by nothing is 0."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)
