"""Simulated test sets whose truth is known: of every task, two equally good models and a worse one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, softmax

from components.evaluate_model.task_metrics import MEDIAN, Truth
from components.evaluate_model.weightings import Floats
from mulgil.contract import Metric, Task
from mulgil.contract.learning import TASK_FORMS

# What the models know is the truth's own level, blurred by so much.
_BLUR, _MORE_BLUR = 0.7, 1.4
_OF_NUMBERS = 0.4, 0.8
# Of the quantile that is predicted where one is.
_QUANTILE = 0.9
# Where that quantile lies above the mean, in deviations of what the models cannot know.
_ABOVE = 1.28


@dataclass(frozen=True)
class Drawn:
    """A test set.

    Attributes:
        target: The truth.
        one: What a model says of it.
        other: What another one says that is as good and errs apart.
        worse: What a worse one says.
    """

    target: Truth
    one: Floats
    other: Floats
    worse: Floats


@dataclass(frozen=True)
class Scene:
    """What is simulated.

    Attributes:
        name: What it is called.
        task: The task.
        draw: Gives a test set of so many rows.
        metrics: What is measured.
        quantile: Of the pinball loss.
    """

    name: str
    task: Task
    draw: Callable[[np.random.Generator, int], Drawn]
    metrics: tuple[Metric, ...]
    quantile: float = MEDIAN


def draw_answers(generator: np.random.Generator, rows: int) -> Drawn:
    """Draw a yes or no a row."""
    level = generator.normal(-0.5, 1.5, rows)
    target = generator.random(rows) < expit(level)
    return Drawn(target, *(expit(level + noise) for noise in _blur(generator, (rows,), _BLUR, _MORE_BLUR)))


def _draw_classes(generator: np.random.Generator, rows: int) -> Drawn:
    """Draw one of three classes a row, the rarest in a fifth of them."""
    level = generator.normal([0.6, 0.0, -0.7], 1.5, (rows, 3))
    drawn = generator.random((rows, 1))
    target = (softmax(level, axis=1).cumsum(axis=1)[:, :2] < drawn).sum(axis=1)
    blurs = _blur(generator, (rows, 3), _BLUR, _MORE_BLUR)
    return Drawn(target, *(softmax(level + noise, axis=1) for noise in blurs))


def _draw_labels(generator: np.random.Generator, rows: int) -> Drawn:
    """Draw three labels a row that go together."""
    level = generator.normal([0.3, -0.5, -1.2], 1.2, (rows, 3)) + generator.normal(0, 0.9, (rows, 1))
    target = generator.random((rows, 3)) < expit(level)
    return Drawn(target, *(expit(level + noise) for noise in _blur(generator, (rows, 3), _BLUR, _MORE_BLUR)))


def _draw_numbers(generator: np.random.Generator, rows: int) -> Drawn:
    level = generator.normal(0, 1, rows)
    target = level + 0.7 * generator.normal(0, 1, rows)
    return Drawn(target, *(level + noise for noise in _blur(generator, (rows,), *_OF_NUMBERS)))


def _draw_heavy_tails(generator: np.random.Generator, rows: int) -> Drawn:
    level = generator.normal(0, 1, rows)
    # The cube of an error's square has no mean: few intervals are made for that.
    target = level + 0.6 * generator.standard_t(5, rows)
    return Drawn(target, *(level + noise for noise in _blur(generator, (rows,), *_OF_NUMBERS)))


def _draw_pairs(generator: np.random.Generator, rows: int) -> Drawn:
    """Draw two numbers a row that go together, in units a thousandfold apart."""
    units = np.array([1.0, 1000.0])
    level = generator.normal(0, 1, (rows, 2)) + generator.normal(0, 0.5, (rows, 1))
    target = units * (level + 0.7 * generator.normal(0, 1, (rows, 2)))
    return Drawn(target, *(units * (level + noise) for noise in _blur(generator, (rows, 2), *_OF_NUMBERS)))


def _as_quantiles(
    draw: Callable[[np.random.Generator, int], Drawn], deviation: float
) -> Callable[[np.random.Generator, int], Drawn]:
    """Have the models predict a quantile in place of the mean."""

    def shifted(generator: np.random.Generator, rows: int) -> Drawn:
        drawn = draw(generator, rows)
        by = _ABOVE * deviation
        return Drawn(drawn.target, drawn.one + by, drawn.other + by, drawn.worse + by)

    return shifted


def _blur(generator: np.random.Generator, shape: tuple[int, ...], alike: float, more: float) -> list[Floats]:
    return [generator.normal(0, deviation, shape) for deviation in (alike, alike, more)]


def _scene(name: str, task: Task, draw: Callable[[np.random.Generator, int], Drawn]) -> Scene:
    return Scene(name, task, draw, TASK_FORMS[task].metrics)


_BY_QUANTILE = (Metric.PINBALL,)
SCENES = (
    _scene("answers", Task.BINARY_CLASSIFICATION, draw_answers),
    _scene("classes", Task.MULTICLASS_CLASSIFICATION, _draw_classes),
    _scene("labels", Task.MULTILABEL_CLASSIFICATION, _draw_labels),
    _scene("numbers", Task.SCALAR_REGRESSION, _draw_numbers),
    _scene("heavy_tails", Task.SCALAR_REGRESSION, _draw_heavy_tails),
    _scene("pairs", Task.VECTOR_REGRESSION, _draw_pairs),
    Scene("quantile", Task.SCALAR_REGRESSION, _as_quantiles(_draw_numbers, 0.7), _BY_QUANTILE, _QUANTILE),
    Scene(
        "heavy_quantile",
        Task.SCALAR_REGRESSION,
        _as_quantiles(_draw_heavy_tails, 0.8),
        _BY_QUANTILE,
        _QUANTILE,
    ),
)
