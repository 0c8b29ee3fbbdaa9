"""What each metric is measured on: probabilities, or what is called by the project's own threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from components.evaluate_model.bootstrap import Replicates, replicate
from components.evaluate_model.metrics import THRESHOLD, Floats
from components.evaluate_model.task_metrics import MEDIAN, Truth
from mulgil.artifacts import BUNDLE_DECISION, DecisionRule
from mulgil.contract import Metric, Task
from mulgil.contract.learning import CALLED_METRICS


def read_decision(bundle_path: Path) -> DecisionRule | None:
    """Read what a bundle calls a yes by; `None` where its project did not say."""
    path = bundle_path / BUNDLE_DECISION
    return DecisionRule.read(path) if path.exists() else None


def scores_for(metric: Metric, predicted: Mapping[str, Floats], threshold: float) -> dict[str, Floats]:
    """Return what a metric is measured on: of calls, 1 from the threshold on and 0 below."""
    if metric not in CALLED_METRICS or threshold == THRESHOLD:
        return dict(predicted)
    return {model: (given >= threshold).astype(np.float64) for model, given in predicted.items()}


def replicate_calls(
    task: Task,
    target: Truth,
    predicted: Mapping[str, Floats],
    metrics: Sequence[Metric],
    threshold: float,
    quantile: float = MEDIAN,
) -> dict[str, dict[Metric, Replicates]]:
    """Measure every model by every metric on the same resamples, as `replicate` does.

    Every model is called by the one threshold, so that they are compared at the same use.
    """
    if threshold == THRESHOLD:
        return replicate(task, target, predicted, metrics, quantile=quantile)
    parts = [
        replicate(task, target, scores_for(some[0], predicted, threshold), some)
        for some in (
            [metric for metric in metrics if metric not in CALLED_METRICS],
            [metric for metric in metrics if metric in CALLED_METRICS],
        )
    ]
    # The draws go by seed and truth alone, so that the parts are paired.
    return {
        model: {metric: {**parts[0][model], **parts[1][model]}[metric] for metric in metrics}
        for model in predicted
    }
