"""What more rows would bring: the loss by the number of rows, in cross-validation without test rows.

Each fold fits on more and more of its rows, each part within the next, and is measured on the same rows held
out, so that two numbers of rows are compared by pairs.

Source:
    Hastie, Tibshirani & Friedman (2009), The elements of statistical learning, section 7.10.1.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from components.train_model.comparison import divide, fit_part
from components.train_model.heads import Head, make_head
from components.train_model.learners import Learner, measure_loss
from mulgil.artifacts import LearningCurve, LearningCurvePoint
from mulgil.contract import Task
from mulgil.contract.learning import Training
from mulgil.contract.specifications import PreprocessingSpecification
from mulgil.errors import InputError
from mulgil.preprocessing import TransformExecutor
from mulgil.preprocessing.rows import TrainingRows

# Of each class, or of each answer to a label: as many as a split must have of it.
_LEAST_OF_CLASS = 2
# Of fewer, a network has two to stop by.
_LEAST_ROWS = 10


def trace_curve(
    learner: Learner,
    training: Training,
    task: Task,
    answer_width: int,
    specification: PreprocessingSpecification,
    rows: TrainingRows,
    clock: Callable[[], float] = time.monotonic,
) -> LearningCurve:
    """Fit on more and more rows of each fold.

    Args:
        learner: The model.
        training: With the shares of the rows, and the settings of the model.
        task: The task.
        answer_width: How many numbers a model gives for a row.
        specification: How columns become numbers.
        rows: Rows to try on; no test row among them.
        clock: Seconds.

    Returns:
        A point for each number of rows that could be fitted in every fold.
    """
    assert training.learning_curve is not None
    asked = training.learning_curve
    begun = clock()
    by_share: dict[float, list[tuple[int, float, float]]] = {}
    left_out: dict[float, str] = {}
    reason = ""
    for place, (fitted_on, held_out) in enumerate(divide(task, training, rows)):
        if place and clock() - begun > asked.time_budget_seconds:
            reason = f"the time budget of {asked.time_budget_seconds:g} s was over after {place} folds"
            break
        whole, judges = rows.take(fitted_on), rows.take(held_out)
        # One for all numbers of rows: of a number to be predicted it is the loss's unit.
        head = make_head(task, answer_width, whole, training.class_weights, training.quantile)
        order = order_rows(task, whole.target, training.seed)
        for share in sorted(set(asked.shares)):
            part = whole.take(order[: round(share * len(whole))])
            if not has_enough(task, part.target, answer_width):
                left_out[share] = "too few rows, or of a class"
                continue
            try:
                losses = _measure(learner, head, specification, part, judges, training)
            except InputError as exc:
                left_out[share] = str(exc).splitlines()[0]
                continue
            by_share.setdefault(share, []).append((len(part), *losses))
    points = tuple(
        LearningCurvePoint(
            rows=round(float(np.mean([count for count, _, _ in found]))),
            losses=tuple(loss for _, loss, _ in found),
            training_losses=tuple(loss for _, _, loss in found),
        )
        for share, found in by_share.items()
        if share not in left_out
    )
    notes = [f"{share:g} of the rows: {text}" for share, text in left_out.items()]
    return LearningCurve(
        points=points, seconds=clock() - begun, reason="; ".join([*notes, *([reason] if reason else [])])
    )


def order_rows(task: Task, target: npt.NDArray[np.generic], seed: int) -> npt.NDArray[np.intp]:
    """Return an order by lot, of whose first rows each class has its share, however many they are.

    Shapes:
        target: (rows,), or of several labels or numbers (rows, width).
    """
    order = np.random.default_rng(seed).permutation(len(target))
    if task not in (Task.BINARY_CLASSIFICATION, Task.MULTICLASS_CLASSIFICATION):
        return order
    codes = target[order].astype(np.intp)
    places = np.empty(len(codes))
    for code in np.unique(codes):
        of_class = np.flatnonzero(codes == code)
        places[of_class] = (np.arange(len(of_class)) + 0.5) / len(of_class)
    found: npt.NDArray[np.intp] = order[np.argsort(places, kind="stable")]
    return found


def has_enough(task: Task, target: npt.NDArray[np.generic], answer_width: int) -> bool:
    """Return whether rows can be learned from: some, and of every class or answer two."""
    if len(target) < _LEAST_ROWS:
        return False
    if not task.is_classification:
        return bool((target.max(axis=0) > target.min(axis=0)).all())
    if task is Task.MULTILABEL_CLASSIFICATION:
        yes = target.astype(np.intp).sum(axis=0)
        return bool((np.minimum(yes, len(target) - yes) >= _LEAST_OF_CLASS).all())
    counts = np.bincount(target.astype(np.intp), minlength=max(2, answer_width))
    return bool((counts >= _LEAST_OF_CLASS).all())


def _measure(
    learner: Learner,
    head: Head,
    specification: PreprocessingSpecification,
    part: TrainingRows,
    judges: TrainingRows,
    training: Training,
) -> tuple[float, float]:
    """Return the losses on rows held out and on those that were fitted on."""
    fitted, transform = fit_part(learner, head, specification, part, training)
    executor = TransformExecutor(transform)
    losses = [
        measure_loss(head, head.encode(rows), fitted.predict(executor.apply(rows.tensors)))
        for rows in (judges, part)
    ]
    return losses[0], losses[1]
