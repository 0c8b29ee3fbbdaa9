"""The interval of a mean loss: studentized, and told by the few great losses where they decide it."""

import numpy as np
import pytest

from components.evaluate_model.bootstrap import replicate
from components.evaluate_model.intervals import find_interval
from components.evaluate_model.mean_losses import MOST_ROWS, bound_mean
from mulgil.contract import Metric, Task


def test_of_normal_losses_it_is_students_interval():
    losses = np.random.default_rng(0).normal(10, 1, 400)
    margin = 1.96 * losses.std() / 20

    low, high = bound_mean(losses, 0.95)

    assert low == pytest.approx(losses.mean() - margin, abs=0.015)
    assert high == pytest.approx(losses.mean() + margin, abs=0.015)


def test_of_few_great_losses_it_reaches_farther_up_than_down():
    losses = np.random.default_rng(0).exponential(1, 50) ** 2

    low, high = bound_mean(losses, 0.95)

    assert 0 <= low < losses.mean() < high
    assert high - losses.mean() > 1.5 * (losses.mean() - low)


@pytest.mark.parametrize(
    "losses",
    [np.arange(19.0), np.arange(MOST_ROWS + 1.0), np.ones(100), np.eye(1, 100)[0]],
    ids=["few rows", "many rows", "alike", "alike but one"],
)
def test_where_it_tells_nothing_there_is_none(losses):
    assert bound_mean(losses, 0.95) is None


@pytest.mark.parametrize(
    ("task", "metric"),
    [
        (Task.BINARY_CLASSIFICATION, Metric.LOG_LOSS),
        (Task.MULTICLASS_CLASSIFICATION, Metric.BRIER),
        (Task.SCALAR_REGRESSION, Metric.PINBALL),
        (Task.VECTOR_REGRESSION, Metric.MAE),
    ],
)
def test_every_mean_of_the_rows_losses_has_it(task, metric):
    generator = np.random.default_rng(0)
    if task is Task.BINARY_CLASSIFICATION:
        target, predicted = generator.random(90) < 0.5, generator.random(90)
        losses = -np.log(np.where(target, predicted, 1 - predicted))
    elif task is Task.MULTICLASS_CLASSIFICATION:
        target, predicted = generator.integers(3, size=90), generator.dirichlet([1, 1, 1], 90)
        losses = ((predicted - np.eye(3)[target]) ** 2).sum(axis=1)
    elif task is Task.SCALAR_REGRESSION:
        target, predicted = generator.normal(size=(2, 90))
        losses = np.maximum(0.9 * (target - predicted), 0.1 * (predicted - target))
    else:
        target, predicted = generator.normal(size=(2, 90, 2))
        losses = np.abs(target - predicted).mean(axis=1)
    measured = replicate(task, target, {"m": predicted}, [metric], quantile=0.9)["m"][metric]

    interval = find_interval(measured, task, metric, target, predicted, 0.95, 0.9)

    assert (interval.low, interval.high) == pytest.approx(bound_mean(losses, 0.95))
    assert interval.value == pytest.approx(losses.mean())
