"""How good models like the judged one are on folds of the rows that are no test rows.

Source:
    Nadeau & Bengio (2003), Inference for the generalization error, Machine Learning 52 (the interval: folds
    share the rows that they were fitted on, so that their scores vary together); Bouckaert & Frank (2004),
    Evaluating the replicability of significance tests for comparing learning algorithms, PAKDD (of folds that
    are repeated).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.stats import t

from components.evaluate_model.task_metrics import is_measurable, measure_task
from components.evaluate_model.weightings import Weightings
from mulgil.artifacts import (
    BUNDLE_CROSS_VALIDATION,
    Check,
    CrossValidatedMetric,
    CrossValidatedScores,
    HeldOutAnswers,
)
from mulgil.contract import Metric, Task


def read_answers(bundle_path: Path) -> HeldOutAnswers | None:
    """Read what models of the folds said; `None` where the project asked for none."""
    path = bundle_path / BUNDLE_CROSS_VALIDATION
    return HeldOutAnswers.read(path) if path.exists() else None


def score_folds(
    task: Task, answers: HeldOutAnswers, metrics: Sequence[Metric], confidence: float, quantile: float
) -> CrossValidatedScores:
    """Measure every fold by every metric.

    Args:
        task: The task.
        answers: What models said of rows that they were not fitted on.
        metrics: The metrics.
        confidence: Of the means' intervals.
        quantile: Of the pinball loss.
    """
    repeats = 1 + max(fold.repeat for fold in answers.folds)
    folds = len(answers.folds) // repeats
    share = float(np.mean([len(fold.target) / fold.fitted_rows for fold in answers.folds]))
    values: dict[Metric, list[float]] = {metric: [] for metric in metrics}
    for fold in answers.folds:
        target, predicted = np.array(fold.target), np.array(fold.predicted, np.float64)
        weights = Weightings.equal(len(target))
        # A fold of one class tells nothing apart.
        if is_measurable(task, target, weights)[0]:
            for metric in metrics:
                measured = measure_task(task, metric, target, predicted, weights, quantile=quantile)
                values[metric].append(float(measured[0]))
    return CrossValidatedScores(
        folds=folds,
        repeats=repeats,
        rows=answers.rows,
        metrics={
            metric.value: summarise_folds(metric, of_folds, share, confidence)
            for metric, of_folds in values.items()
            if len(of_folds) > 1
        },
    )


def summarise_folds(
    metric: Metric, values: Sequence[float], share: float, confidence: float
) -> CrossValidatedMetric:
    """Compute mean, spread and interval of a metric over folds.

    The variance of the mean is that of the values times 1 / values + share.

    Args:
        metric: Which; it is at most 1 where more is better, and at least 0 where less is.
        values: Of all folds of all repeats, at least two.
        share: Rows held out over those fitted on, of a fold.
        confidence: Of the interval.
    """
    mean, deviation = float(np.mean(values)), float(np.std(values, ddof=1))
    error = deviation * np.sqrt(1 / len(values) + share)
    margin = float(error * t.ppf((1 + confidence) / 2, len(values) - 1))
    low, high = mean - margin, mean + margin
    return CrossValidatedMetric(
        mean=mean,
        deviation=deviation,
        low=low if metric.is_better_high else max(low, 0.0),
        high=min(high, 1.0) if metric.is_better_high else high,
        confidence=confidence,
        values=tuple(values),
    )


def check_cross_validated(metric: Metric, scores: CrossValidatedScores | None, floor: float) -> Check:
    """Hold a metric's mean over the folds against the project's floor (a loss: ceiling)."""
    name = f"{metric}_cross_validated_floor"
    measured = scores.metrics.get(metric) if scores else None
    asked = f"{'at least' if metric.is_better_high else 'at most'} {floor:g}"
    if scores is None or measured is None:
        reason = f"{metric} was measured on too few folds, or none; asked for: {asked}"
        return Check(name=name, is_passed=False, limit=floor, reason=reason)
    return Check(
        name=name,
        is_passed=measured.mean >= floor if metric.is_better_high else measured.mean <= floor,
        value=measured.mean,
        limit=floor,
        reason=(
            f"{metric} is {measured.mean:.3f} in the mean of {len(measured.values)} folds "
            f"({measured.confidence:.0%} interval {measured.low:.3f} to {measured.high:.3f}); "
            f"asked for: {asked}"
        ),
    )
