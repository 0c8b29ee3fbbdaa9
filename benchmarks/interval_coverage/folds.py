"""Count over simulated tables: whose mean over folds has an interval that holds the truth.

The truth is the mean score of such models, fitted on as many rows as a fold leaves, on rows without end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import RepeatedKFold, RepeatedStratifiedKFold

from benchmarks.interval_coverage.counting import CONFIDENCE, Counts
from components.evaluate_model.cross_validation import score_folds
from components.evaluate_model.task_metrics import MEDIAN, Truth, measure_task
from components.evaluate_model.weightings import Floats, Weightings
from mulgil.artifacts import FoldAnswers, HeldOutAnswers
from mulgil.contract import Metric, Task

# As the guide shows it.
_FOLDS, _REPEATS = 5, 10
_WIDTH = 6
# Tables whose models' scores on so many other rows are the truth in the mean, within a fortieth of the width
# of an interval.
_TRUTH_TABLES, _TRUTH_ROWS = 1000, 4000
_TRUTH_SEED = 10**6


@dataclass(frozen=True)
class Tables:
    """What is simulated.

    Attributes:
        name: What it is called.
        task: The task.
        metrics: What is measured.
    """

    name: str
    task: Task
    metrics: tuple[Metric, ...]

    def draw(self, generator: np.random.Generator, rows: int) -> tuple[Floats, Truth]:
        """Draw columns and truth, the first columns telling the most."""
        columns = generator.normal(size=(rows, _WIDTH))
        level = columns @ (1.2 / np.arange(1, _WIDTH + 1))
        if self.task.is_classification:
            return columns, generator.random(rows) < expit(level)
        return columns, level + generator.normal(size=rows)

    def answer(self, fitted: tuple[Floats, Truth], columns: Floats) -> Floats:
        """Fit a plain model, and have it answer."""
        if self.task.is_classification:
            answers: Floats = LogisticRegression().fit(*fitted).predict_proba(columns)[:, 1]
        else:
            answers = Ridge().fit(*fitted).predict(columns)
        return answers


TABLES = (
    Tables(
        "folds_of_answers",
        Task.BINARY_CLASSIFICATION,
        (Metric.ROC_AUC, Metric.ACCURACY, Metric.LOG_LOSS, Metric.BRIER),
    ),
    Tables("folds_of_numbers", Task.SCALAR_REGRESSION, (Metric.R2, Metric.MAE, Metric.RMSE)),
)


def measure_folds(tables: Tables, rows: int, repetitions: int, seed: int = 0) -> list[Counts]:
    """Count, over tables of so many rows."""
    truth = _find_truth(tables, rows - rows // _FOLDS)
    covered = dict.fromkeys(tables.metrics, 0)
    for repetition in range(seed, seed + repetitions):
        columns, target = tables.draw(np.random.default_rng(repetition), rows)
        kind: Callable[..., Any] = RepeatedStratifiedKFold if tables.task.is_classification else RepeatedKFold
        divided = kind(n_splits=_FOLDS, n_repeats=_REPEATS, random_state=repetition % 2**32)
        folds = []
        for place, (fitted, held_out) in enumerate(divided.split(columns, target)):
            answers = tables.answer((columns[fitted], target[fitted]), columns[held_out])
            folds.append(
                FoldAnswers(
                    repeat=place // _FOLDS,
                    fitted_rows=len(fitted),
                    target=tuple(target[held_out].tolist()),
                    predicted=tuple(answers.tolist()),
                )
            )
        scores = score_folds(
            tables.task, HeldOutAnswers(folds=tuple(folds), rows=rows), tables.metrics, CONFIDENCE, MEDIAN
        )
        for metric in tables.metrics:
            found = scores.metrics[metric]
            covered[metric] += found.low <= truth[metric] <= found.high
    return [Counts(tables.name, metric, repetitions, covered[metric]) for metric in tables.metrics]


def _find_truth(tables: Tables, fitted_rows: int) -> dict[Metric, float]:
    generator = np.random.default_rng(_TRUTH_SEED)
    whole = Weightings.equal(_TRUTH_ROWS)
    values: dict[Metric, list[float]] = {metric: [] for metric in tables.metrics}
    for _ in range(_TRUTH_TABLES):
        fitted, (columns, target) = (tables.draw(generator, rows) for rows in (fitted_rows, _TRUTH_ROWS))
        answers = tables.answer(fitted, columns)
        for metric in tables.metrics:
            measured = measure_task(tables.task, metric, target, answers, whole, quantile=MEDIAN)
            values[metric].append(float(measured[0]))
    return {metric: float(np.mean(of_metric)) for metric, of_metric in values.items()}
