"""Which family: compared by cross-validation, the simplest within one standard error of the best.

Every fold fits its own preprocessing on its own training part, and no test row is read.

Source:
    Breiman, Friedman, Olshen & Stone (1984), Classification and regression trees, section 3.4.3 (one standard
    error); Hastie, Tibshirani & Friedman (2009), The elements of statistical learning, section 7.10.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import (
    GroupKFold,
    GroupShuffleSplit,
    KFold,
    StratifiedGroupKFold,
    StratifiedKFold,
    train_test_split,
)

from components.train_model.fit_transform import fit_transform
from components.train_model.heads import Head, make_head
from components.train_model.learners import Curve, Examples, FittedModel, Learner, measure_loss
from components.train_model.selection import select_features
from components.train_model.time_folds import divide_by_time, split_latest
from mulgil.artifacts import FamilyScore
from mulgil.contract import Task
from mulgil.contract.learning import Family, Training
from mulgil.contract.specifications import PreprocessingSpecification
from mulgil.errors import InputError, describe
from mulgil.preprocessing import FittedTransform, TransformExecutor
from mulgil.preprocessing.rows import TrainingRows

# What a fold's training part gives up for early stopping; the shipped split's own share.
_STOPPING_RATIO = 0.2

Fold = tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]


def compare_families(
    learner_of: Callable[[Family], Learner],
    training: Training,
    task: Task,
    answer_width: int,
    specification: PreprocessingSpecification,
    rows: TrainingRows,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[FamilyScore, ...]:
    """Cross-validate every family, the simplest first, until the time is over.

    Args:
        learner_of: Gives each family's learner.
        training: Folds, seed and time budget.
        task: The task.
        answer_width: How many numbers a model gives for a row.
        specification: How columns become numbers.
        rows: Rows to compare on; no test row among them.
        clock: Seconds.

    Returns:
        A score for each family. The first is compared whatever the time.
    """
    begun = clock()
    folds = list(divide(task, training, rows))
    scores = []
    for family in Family:
        if family is Family.AUTO:
            continue
        started = clock()
        losses: list[float] = []
        reason = ""
        for fold in folds:
            if scores and clock() - begun > training.time_budget_seconds:
                reason = f"the time budget of {training.time_budget_seconds:g} s was over"
                break
            try:
                losses.append(
                    score_fold(learner_of(family), task, answer_width, specification, rows, fold, training)
                )
            except InputError as exc:
                reason = str(exc).splitlines()[0]
                break
        is_whole = not reason
        scores.append(
            FamilyScore(
                family=family,
                loss=float(np.mean(losses)) if is_whole else None,
                standard_error=float(np.std(losses, ddof=1) / np.sqrt(len(losses))) if is_whole else None,
                seconds=clock() - started,
                reason=reason,
            )
        )
    return tuple(scores)


def choose_simplest(scores: Sequence[FamilyScore]) -> FamilyScore:
    """Return the first score, the simplest, whose loss is within one standard error of the least.

    Raises:
        InputError: No family could be compared.
    """
    compared = [(score.loss, score) for score in scores if score.loss is not None]
    if not compared:
        raise InputError(
            "No family of models could be fitted: " + "; ".join(score.reason for score in scores)
        )
    least, best = min(compared, key=lambda pair: pair[0])
    bound = least + (best.standard_error or 0.0)
    return next(score for loss, score in compared if loss <= bound)


def divide(task: Task, training: Training, rows: TrainingRows) -> Iterator[Fold]:
    """Divide rows into folds as a training has them: what is fitted on, and what is held out."""
    return divide_into(training.folds, training.seed, task, rows)


def divide_into(folds: int, seed: int, task: Task, rows: TrainingRows) -> Iterator[Fold]:
    """Divide rows into folds, by class where there are classes, and no entity's rows among two of them.

    Args:
        folds: How many, or as many as every part has a row of every class, or of no classes two rows, and an
            entity.
        seed: Of the draw.
        task: The task.
        rows: The rows; where they have entities, those of one stay together, and where they have moments,
            what is held out comes after what is fitted on.

    Raises:
        InputError: There are too few entities, or moments, for every part to have every class.
    """
    is_stratified = task in (Task.BINARY_CLASSIFICATION, Task.MULTICLASS_CLASSIFICATION)
    if rows.moments is not None:
        classes = rows.target.astype(np.intp) if is_stratified else None
        return iter(divide_by_time(folds, rows.moments, classes))
    if is_stratified:
        # Every part needs a row of every class.
        folds = max(2, min(folds, int(np.bincount(rows.target.astype(np.intp)).min())))
    if rows.entities is not None:
        return _divide_entities(folds, seed, rows, is_stratified=is_stratified)
    if is_stratified:
        return StratifiedKFold(folds, shuffle=True, random_state=seed).split(rows.target, rows.target)
    # A row alone has no variance that could be told.
    folds = max(2, min(folds, len(rows) // 2))
    return KFold(folds, shuffle=True, random_state=seed).split(rows.target)


def _divide_entities(folds: int, seed: int, rows: TrainingRows, *, is_stratified: bool) -> Iterator[Fold]:
    entities = len(np.unique(rows.entities))
    kind = StratifiedGroupKFold if is_stratified else GroupKFold
    parts: list[Fold] = []
    if entities > 1:
        divided = kind(min(folds, entities), shuffle=True, random_state=seed)
        parts = list(divided.split(rows.target, rows.target, rows.entities))
    classes = len(np.unique(rows.target)) if is_stratified else 0
    lacks = any(is_stratified and len(np.unique(rows.target[fitted])) < classes for fitted, _ in parts)
    if not parts or lacks or any(not len(held_out) for _, held_out in parts):
        raise InputError(
            describe(
                "There are too few entities to divide into folds",
                expected=f"entities in each of {folds} folds, and every class outside of each",
                received=f"{entities} entities in {len(rows)} rows",
                next_step="bring rows of more entities, or fewer folds",
            )
        )
    return iter(parts)


def score_fold(
    learner: Learner,
    task: Task,
    answer_width: int,
    specification: PreprocessingSpecification,
    rows: TrainingRows,
    fold: Fold,
    training: Training,
) -> float:
    """Fit on one part, stop by a part of it, and measure the loss on the part that was held out."""
    head, held_out, predicted = answer_fold(learner, task, answer_width, specification, rows, fold, training)
    return measure_loss(head, head.encode(held_out), predicted)


def answer_fold(
    learner: Learner,
    task: Task,
    answer_width: int,
    specification: PreprocessingSpecification,
    rows: TrainingRows,
    fold: Fold,
    training: Training,
) -> tuple[Head, TrainingRows, npt.NDArray[Any]]:
    """Fit on one part, stop by a part of it, and predict the one held out, in the head's own numbers."""
    train, held_out = (rows.take(places) for places in fold)
    head = make_head(task, answer_width, train, training.class_weights, training.quantile)
    fitted, transform = fit_part(learner, head, specification, train, training)
    return head, held_out, fitted.predict(TransformExecutor(transform).apply(held_out.tensors))


def fit_part(
    learner: Learner,
    head: Head,
    specification: PreprocessingSpecification,
    train: TrainingRows,
    training: Training,
) -> tuple[FittedModel, FittedTransform]:
    """Fit preprocessing, choice of features and model on rows, some of which stop it where it has epochs."""
    transform = fit_transform(specification.adjusted(training.imputation, training.scaling), train.tensors)
    selected = select_features(training, learner, transform, head, train)
    if selected is not None:
        transform = transform.restricted_to(selected.kept)
    examples = Examples(TransformExecutor(transform).apply(train.tensors), head.encode(train))
    curve = Curve((), ())
    if learner.is_fitted_by_epochs:
        inner, stopping = _divide_once(train, training.seed)
        curve = learner.look(head, examples.take(inner), examples.take(stopping))
    return learner.fit(head, examples, curve), transform


def _divide_once(rows: TrainingRows, seed: int) -> Fold:
    """Divide rows into what is fitted on and what stops the fit; no entity's rows are among both.

    Of rows that have moments, the latest stop it.
    """
    if rows.moments is not None:
        return split_latest(_STOPPING_RATIO, rows.moments)
    places = np.arange(len(rows))
    if rows.entities is None:
        inner, stopping = train_test_split(places, test_size=_STOPPING_RATIO, random_state=seed)
        return inner, stopping
    entities = len(np.unique(rows.entities))
    if entities < 2:
        raise InputError(
            describe(
                "There are too few entities to stop a fit by some of them",
                expected="at least 2 among the rows that a model is fitted on",
                received=f"{entities} in {len(rows)} rows",
                next_step="bring rows of more entities, or fewer folds",
            )
        )
    draw = GroupShuffleSplit(1, test_size=_STOPPING_RATIO, random_state=seed)
    inner, stopping = next(draw.split(places, groups=rows.entities))
    return inner, stopping
