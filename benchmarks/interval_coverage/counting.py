"""Count over simulated test sets: whose intervals hold the truth, and whose equal models are told apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import beta

from benchmarks.interval_coverage.scenes import Scene
from components.evaluate_model.bootstrap import replicate
from components.evaluate_model.intervals import find_interval
from components.evaluate_model.task_metrics import measure_task
from components.evaluate_model.weightings import Floats, Weightings
from mulgil.contract import Metric

CONFIDENCE = 0.95
# Of so many rows the metric is the truth, within a fiftieth of an interval's width.
_TRUTH_ROWS = 1_000_000
_TRUTH_SEED = 10**6


@dataclass(frozen=True)
class Counts:
    """How a metric's intervals did.

    Attributes:
        scene: What was simulated.
        metric: The metric.
        repetitions: Test sets.
        covered: Whose interval holds the truth.
        called_better: Whose two equal models were told apart, the first as the better one; `None` where none
            are compared.
        gains_covered: Whose interval of the improvement over a worse model holds the true improvement.
    """

    scene: str
    metric: Metric
    repetitions: int
    covered: int
    called_better: int | None = None
    gains_covered: int | None = None

    @property
    def coverage(self) -> float:
        """Share of the test sets whose interval holds the truth."""
        return self.covered / self.repetitions

    @property
    def gain_coverage(self) -> float | None:
        """Share of those whose interval of an improvement holds it."""
        return None if self.gains_covered is None else self.gains_covered / self.repetitions

    @property
    def most_called_better(self) -> float | None:
        """Upper 95 % bound (Clopper & Pearson) of the share of false calls."""
        if self.called_better is None:
            return None
        right = self.repetitions - self.called_better
        return float(beta.ppf(0.95, self.called_better + 1, right)) if right else 1.0


def find_truth(scene: Scene) -> dict[Metric, tuple[float, float]]:
    """Return the metrics of the first and of the worse model, on as many rows as make them the truth."""
    drawn = scene.draw(np.random.default_rng(_TRUTH_SEED), _TRUTH_ROWS)
    whole = Weightings.equal(_TRUTH_ROWS)

    def measure(metric: Metric, model: Floats) -> float:
        return float(measure_task(scene.task, metric, drawn.target, model, whole, quantile=scene.quantile)[0])

    return {metric: (measure(metric, drawn.one), measure(metric, drawn.worse)) for metric in scene.metrics}


def measure_scene(scene: Scene, rows: int, repetitions: int, seed: int = 0) -> list[Counts]:
    """Count, over test sets of so many rows."""
    truth = find_truth(scene)
    covered, better, gained = (dict.fromkeys(scene.metrics, 0) for _ in range(3))
    for repetition in range(seed, seed + repetitions):
        drawn = scene.draw(np.random.default_rng(repetition), rows)
        models = {"one": drawn.one, "other": drawn.other, "worse": drawn.worse}
        measured = replicate(
            scene.task, drawn.target, models, scene.metrics, seed=repetition, quantile=scene.quantile
        )
        for metric in scene.metrics:
            own, (of_one, of_worse) = measured["one"][metric], truth[metric]
            interval = find_interval(
                own, scene.task, metric, drawn.target, drawn.one, CONFIDENCE, scene.quantile
            )
            covered[metric] += interval.low <= of_one <= interval.high
            # The very intervals that stand beside the champion, baseline and reference.
            alike = own.better_than(measured["other"][metric], metric).interval(CONFIDENCE)
            better[metric] += alike.low > 0
            gain = own.better_than(measured["worse"][metric], metric).interval(CONFIDENCE)
            true_gain = of_one - of_worse if metric.is_better_high else of_worse - of_one
            gained[metric] += gain.low <= true_gain <= gain.high
    return [
        Counts(scene.name, metric, repetitions, covered[metric], better[metric], gained[metric])
        for metric in scene.metrics
    ]
