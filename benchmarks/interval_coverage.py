"""How often do the reported intervals hold the truth, and how often is one of two equal models called better?

    python -m benchmarks.interval_coverage

Test sets are drawn from a simulation whose truth is known, and the evaluation's own bootstrap gives
intervals: of each metric, which should hold the truth in 95 % of the repetitions; and of the difference
between two models that are equally good and err apart (an A/A comparison), which should lie above zero in
no more than 2.5 %, and never in more than the 5 % that a 95 % interval leaves: the upper bound of the share
(Clopper & Pearson, 95 %) is told.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.special import expit
from scipy.stats import beta

from benchmarks.learning_steps import describe_machine
from components.evaluate_model.bootstrap import replicate
from components.evaluate_model.intervals import find_interval
from components.evaluate_model.task_metrics import MEDIAN, measure_task
from components.evaluate_model.weightings import Weightings
from mulgil.artifacts import write_text
from mulgil.contract import Metric, Task

RESULTS = Path(__file__).parent / "results" / "interval_coverage.json"
CONFIDENCE = 0.95
# Of so many rows the metric is the truth, within a hundredth of an interval's width.
_TRUTH_ROWS = 4_000_000

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Scene:
    """What is simulated.

    Attributes:
        name: What it is called.
        task: The task.
        metrics: What is measured.
        draw: Gives the truth of so many rows, and what two equally good models say of them.
    """

    name: str
    task: Task
    metrics: tuple[Metric, ...]
    draw: Callable[[np.random.Generator, int], tuple[npt.NDArray[np.bool_] | Floats, Floats, Floats]]


def _draw_answers(generator: np.random.Generator, rows: int) -> tuple[npt.NDArray[np.bool_], Floats, Floats]:
    level = generator.normal(-0.5, 1.5, rows)
    target = generator.random(rows) < expit(level)
    one, other = (expit(level + generator.normal(0, 0.7, rows)) for _ in range(2))
    return target, one, other


def _draw_numbers(generator: np.random.Generator, rows: int) -> tuple[Floats, Floats, Floats]:
    level = generator.normal(0, 1, rows)
    target = level + 0.7 * generator.normal(0, 1, rows)
    one, other = (level + generator.normal(0, 0.4, rows) for _ in range(2))
    return target, one, other


def _draw_heavy_tails(generator: np.random.Generator, rows: int) -> tuple[Floats, Floats, Floats]:
    level = generator.normal(0, 1, rows)
    # The cube of an error's square has no mean: few intervals are made for that.
    target = level + 0.6 * generator.standard_t(5, rows)
    one, other = (level + generator.normal(0, 0.4, rows) for _ in range(2))
    return target, one, other


_OF_NUMBERS = (Metric.R2, Metric.MAE, Metric.RMSE, Metric.PINBALL)
SCENES = (
    Scene(
        "answers",
        Task.BINARY_CLASSIFICATION,
        (
            Metric.ROC_AUC,
            Metric.PR_AUC,
            Metric.ACCURACY,
            Metric.PRECISION,
            Metric.RECALL,
            Metric.F1,
            Metric.LOG_LOSS,
            Metric.BRIER,
            Metric.FALSE_POSITIVE_RATE,
            Metric.FALSE_NEGATIVE_RATE,
        ),
        _draw_answers,
    ),
    Scene("numbers", Task.SCALAR_REGRESSION, _OF_NUMBERS, _draw_numbers),
    Scene("heavy_tails", Task.SCALAR_REGRESSION, _OF_NUMBERS, _draw_heavy_tails),
)


@dataclass(frozen=True)
class Counts:
    """How a metric's intervals did.

    Attributes:
        scene: What was simulated.
        metric: The metric.
        repetitions: Test sets.
        covered: Whose interval holds the truth.
        called_better: Whose two equal models were told apart, the first as the better one.
    """

    scene: str
    metric: Metric
    repetitions: int
    covered: int
    called_better: int

    @property
    def coverage(self) -> float:
        """Share of the test sets whose interval holds the truth."""
        return self.covered / self.repetitions

    @property
    def most_called_better(self) -> float:
        """Upper 95 % bound of the share of false calls."""
        wrong, right = self.called_better, self.repetitions - self.called_better
        return float(beta.ppf(0.95, wrong + 1, right)) if right else 1.0


def measure_scene(scene: Scene, rows: int, repetitions: int, seed: int = 0) -> list[Counts]:
    """Count, over test sets of so many rows."""
    target, one, _ = scene.draw(np.random.default_rng(seed + 10**6), _TRUTH_ROWS)
    whole = Weightings.equal(_TRUTH_ROWS)
    truth = {
        m: float(measure_task(scene.task, m, target, one, whole, quantile=MEDIAN)[0]) for m in scene.metrics
    }
    covered, better = (dict.fromkeys(scene.metrics, 0) for _ in range(2))
    for repetition in range(repetitions):
        target, one, other = scene.draw(np.random.default_rng(seed + repetition), rows)
        measured = replicate(
            scene.task, target, {"one": one, "other": other}, scene.metrics, seed=seed + repetition
        )
        for metric in scene.metrics:
            interval = find_interval(measured["one"][metric], scene.task, metric, target, one, CONFIDENCE)
            covered[metric] += interval.low <= truth[metric] <= interval.high
            difference = measured["one"][metric].better_than(measured["other"][metric], metric)
            better[metric] += difference.interval(CONFIDENCE).low > 0
    return [
        Counts(scene.name, metric, repetitions, covered[metric], better[metric]) for metric in scene.metrics
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.interval_coverage",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rows", type=int, default=300, help="Of a test set.")
    parser.add_argument(
        "--scenes", nargs="+", choices=[scene.name for scene in SCENES], help="All, if not given."
    )
    parser.add_argument("--metrics", nargs="+", choices=list(Metric), help="All, if not given.")
    parser.add_argument("--repetitions", type=int, default=1000, help="Test sets.")
    arguments = parser.parse_args(argv)
    scenes = [scene for scene in SCENES if not arguments.scenes or scene.name in arguments.scenes]
    if arguments.metrics:
        kept = [tuple(metric for metric in scene.metrics if metric in arguments.metrics) for scene in scenes]
        scenes = [replace(scene, metrics=some) for scene, some in zip(scenes, kept, strict=True) if some]
    counts = [one for scene in scenes for one in measure_scene(scene, arguments.rows, arguments.repetitions)]
    print(f"{'scene':<13}{'metric':<12}{'coverage':>10}{'called better':>15}{'at most':>10}")
    for one in counts:
        share = one.called_better / one.repetitions
        print(
            f"{one.scene:<13}{one.metric:<12}{one.coverage:>10.3f}{share:>15.3f}{one.most_called_better:>10.3f}"
        )
    content = {**describe_machine(), "rows": arguments.rows, "samples": [asdict(one) for one in counts]}
    write_text(RESULTS, json.dumps(content, indent=2) + "\n")
    print(
        f"result: repetitions={arguments.repetitions} rows={arguments.rows} "
        f"least_coverage={min(one.coverage for one in counts):.3f} "
        f"greatest_coverage={max(one.coverage for one in counts):.3f} "
        f"most_called_better={max(one.most_called_better for one in counts):.3f}"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
