"""At which capacity a family overfits: models without a penalty, from the simplest on, until one does.

What is fitted here is shown and never served. It tells whether the model that is served had to be held back
at all, and what that brought. Validation rows alone say so; no test row is read.

Source:
    Chollet (2021), Deep learning with Python, second edition, section 6.2 (beat a baseline, then a model that
    overfits, then regularise).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from components.train_model.heads import Head
from components.train_model.learners import AnyExamples, Curve, Examples, Learner, measure_loss
from mulgil.artifacts import CapacityPath, CapacityStep
from mulgil.contract import Task
from mulgil.contract.learning import Family, Training
from mulgil.errors import InputError

# Of a validation loss above the least one, as a share of that. Chosen by eye: chance in the fit gives less.
_RISE = 0.05
# Together, as one epoch's loss is up or down by chance.
_LAST_EPOCHS = 3
# Of the widths that are declared. Four times as wide is about sixteen times the weights between two layers.
_WIDTHS = (0.25, 1, 4, 16)

# What holds a family back, and how it is let go.
_WITHOUT_PENALTY: dict[Family, dict[str, Any]] = {
    Family.NEURAL_NETWORK: {"dropout": 0.0, "l1": 0.0, "l2": 0.0, "augmentation": None},
    Family.DECISION_TREE: {"min_samples_leaf": 1},
    Family.RANDOM_FOREST: {"min_samples_leaf": 1},
    Family.GRADIENT_BOOSTING: {"min_samples_leaf": 1},
}
_STEPS: dict[Family, tuple[dict[str, Any], ...]] = {
    Family.LINEAR: tuple({"C": c} for c in (1e-4, 1e-2, 1.0, 100.0, 10_000.0)),
    Family.DECISION_TREE: tuple({"max_depth": depth} for depth in (1, 2, 4, 8, 16, 32)),
    Family.NEAREST_NEIGHBORS: tuple({"n_neighbors": count} for count in (256, 64, 16, 4, 1)),
    Family.SUPPORT_VECTOR_MACHINE: tuple({"C": c} for c in (1e-2, 0.1, 1.0, 10.0, 100.0, 1000.0)),
    Family.RANDOM_FOREST: tuple({"max_depth": depth} for depth in (1, 2, 4, 8, 16, 32)),
    Family.GRADIENT_BOOSTING: tuple({"n_estimators": count} for count in (10, 30, 100, 300, 1000)),
}


def list_steps(training: Training) -> tuple[dict[str, Any], ...]:
    """Return the settings of each step, the simplest first: those that are declared, or the family's own.

    Args:
        training: Of one family, with a ladder.
    """
    assert training.capacity_ladder is not None
    if training.capacity_ladder.steps:
        return training.capacity_ladder.steps
    if training.family is not Family.NEURAL_NETWORK:
        return _STEPS[training.family]
    declared = {"convolutions": training.convolutions, "hidden_units": training.hidden_units or (16,)}
    kept = {name: widths for name, widths in declared.items() if widths}
    widened = [
        {name: tuple(max(1, round(width * factor)) for width in widths) for name, widths in kept.items()}
        for factor in _WIDTHS
    ]
    return (dict.fromkeys(kept, ()), *widened)


def climb(
    learner_of: Callable[[Training], Learner],
    training: Training,
    head: Head,
    train: AnyExamples,
    validation: AnyExamples,
    clock: Callable[[], float] = time.monotonic,
) -> CapacityPath:
    """Fit step after step on the training rows until one overfits, or the time is over.

    Args:
        learner_of: Gives the learner of a training's settings.
        training: Of one family, with a ladder.
        head: What stands at a model's end.
        train: Rows to fit on.
        validation: Rows to look at.
        clock: Seconds.
    """
    assert training.capacity_ladder is not None
    begun, budget = clock(), training.capacity_ladder.time_budget_seconds
    steps: list[CapacityStep] = []
    for settings in list_steps(training):
        if steps and clock() - begun > budget:
            return CapacityPath(steps=tuple(steps), reason=f"the time budget of {budget:g} s was over")
        started = clock()
        tried = training.with_settings(_WITHOUT_PENALTY.get(training.family, {}) | settings)
        learner = learner_of(tried)
        try:
            curve = learner.look(head, train, validation)
        except InputError as exc:
            seconds = clock() - started
            steps.append(CapacityStep(settings=settings, seconds=seconds, reason=str(exc).splitlines()[0]))
            continue
        is_overfitting = (
            turns_by_epoch(curve) if learner.is_fitted_by_epochs else turns_by_step(_points(steps), curve)
        )
        steps.append(
            CapacityStep(
                settings=settings,
                parameters=curve.parameters,
                loss=curve.loss,
                val_loss=curve.val_loss,
                is_overfitting=is_overfitting,
                seconds=clock() - started,
            )
        )
        if is_overfitting:
            return CapacityPath(steps=tuple(steps))
    return CapacityPath(steps=tuple(steps), reason="none of them overfits")


def turns_by_epoch(curve: Curve) -> bool:
    """Return whether the validation loss rose after its least while the training loss went on falling."""
    least = curve.best_epoch - 1
    if len(curve.val_loss) - least <= _LAST_EPOCHS:
        return False
    loss, val_loss = (float(np.mean(part[-_LAST_EPOCHS:])) for part in (curve.loss, curve.val_loss))
    return val_loss > (1 + _RISE) * curve.val_loss[least] and loss < curve.loss[least]


def turns_by_step(before: Sequence[tuple[float, float]], curve: Curve) -> bool:
    """Return whether a step's validation loss lies above the least so far, though its training loss is less.

    Args:
        before: Of each step before it, the losses of training and validation rows.
        curve: Of a model that is not fitted by epochs.
    """
    if not before:
        return False
    loss, least = min(before, key=lambda point: point[1])
    return curve.val_loss[0] > (1 + _RISE) * least and curve.loss[0] < loss


def measure_baseline(head: Head, train: Examples, validation: Examples) -> tuple[float, float]:
    """Return the losses of training and validation rows where every row is told the training rows' shares.

    Of a number it is their mean, or the quantile that is fitted to.
    """
    weights = head.weigh(train.target)
    if head.task is Task.MULTICLASS_CLASSIFICATION:
        counts = np.bincount(train.target, weights, minlength=head.width)
        constant = counts / counts.sum()
    elif head.quantile is not None:
        constant = np.quantile(train.target, head.quantile, axis=0)
    else:
        constant = np.average(train.target, axis=0, weights=weights)
    losses = [
        measure_loss(head, part.target, np.broadcast_to(constant, _shape(head, part)))
        for part in (train, validation)
    ]
    return losses[0], losses[1]


def _shape(head: Head, examples: Examples) -> tuple[int, ...]:
    rows = len(examples.numbers)
    return (rows,) if head.width == 1 else (rows, head.width)


def _points(steps: Sequence[CapacityStep]) -> list[tuple[float, float]]:
    return [(step.loss[0], step.val_loss[0]) for step in steps if step.loss]
