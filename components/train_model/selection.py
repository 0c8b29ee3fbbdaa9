"""Which features a model reads: chosen by the rows that it is fitted on, and by no others.

A feature counts as a whole, however many numbers its codes become; scikit-learn's own choosers look at each
of those numbers, and would keep a code without its column. What a feature seems to say is held against what
the same values say once they are shuffled among the rows.

Source:
    Kraskov, Stögbauer & Grassberger (2004), Estimating mutual information, Physical Review E 69; Kursa &
    Rudnicki (2010), Feature selection with the Boruta package, JSS 36 (shuffled copies beside the columns);
    Breiman (2001), Random forests, Machine Learning 45 (what a shuffled column costs).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.feature_selection import mutual_info_classif, mutual_info_regression
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

from components.train_model.heads import Head
from components.train_model.learners import Curve, Examples, Learner, measure_losses
from components.train_model.time_folds import divide_by_time
from mulgil.artifacts import FeatureImportance, FeatureSelection
from mulgil.contract.learning import Training, shift_seed
from mulgil.contract.selection import Selection
from mulgil.errors import InputError, describe
from mulgil.preprocessing import FittedTransform, TransformExecutor
from mulgil.preprocessing.draws import draw_places
from mulgil.preprocessing.rows import TrainingRows
from mulgil.preprocessing.stored_rows import StoredRows

# Enough to tell a feature that says a hundredth of a nat from one that says nothing. Chosen by eye.
_MOST_ROWS = 5_000
# Of a class that is rarer, so many of them nevertheless, or all: few rows of it tell little. Chosen by eye.
_MOST_OF_RARE = 500
# The most of so many shuffles is passed by chance in one of twenty features that say nothing.
_SHUFFLES = 19
# A forest is fitted for each, with a shuffled copy of every feature.
_FORESTS, _TREES = 9, 50
# Each row's loss is measured by a model that was not fitted on it, with so many shuffles.
_FOLDS, _REPEATS = 3, 5
_LEAST_ROWS = 2
# A loss that is greater by so many standard errors is so by chance in one of forty features.
_SURE = 2.0

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.float32]
Fold = tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]


def select_features(
    training: Training,
    learner: Learner,
    transform: FittedTransform,
    head: Head,
    rows: TrainingRows | StoredRows,
) -> FeatureSelection | None:
    """Choose features.

    Args:
        training: How they are chosen, and the seed.
        learner: The model that is to read them.
        transform: Fitted on the same rows, with all features.
        head: Made for the same rows.
        rows: What the model is fitted on.

    Returns:
        The choice, of one feature at least; `None` where none is asked for.
    """
    selection = training.selection
    if selection is None:
        return None
    random = np.random.default_rng(training.seed)
    if isinstance(rows, StoredRows):
        rows = rows.sample(_MOST_ROWS, training.seed, _MOST_OF_RARE)
    elif len(rows) > _MOST_ROWS:
        classes = rows.target.astype(np.intp) if _has_classes(head, rows.target) else None
        rows = rows.take(draw_places(len(rows), _MOST_ROWS, training.seed, classes, _MOST_OF_RARE))
    examples = Examples(TransformExecutor(transform).apply(rows.tensors), head.encode(rows))
    ends = np.cumsum([column.width for column in transform.columns])[:-1]
    places = np.split(np.arange(transform.width), ends)
    if selection.method == "mutual_information":
        is_code = [column.is_categorical for column in transform.columns]
        importance, by_chance = _share_information(examples, places, is_code, head, training.seed, random)
    elif selection.method == "select_from_model":
        importance, by_chance = _grow_forests(examples, places, head, training.seed, random)
    else:
        folds = _divide(examples, head, training.seed, rows.entities, rows.moments)
        importance, by_chance = _shuffle_each(examples, places, head, learner, folds, random)
    is_kept = _choose(selection, importance, by_chance)
    return FeatureSelection(
        method=selection.method,
        asked=selection.columns,
        rows=len(rows),
        features=tuple(
            FeatureImportance(name=column.name, importance=found, by_chance=chance, is_kept=kept)
            for column, found, chance, kept in zip(
                transform.columns, importance.tolist(), by_chance.tolist(), is_kept.tolist(), strict=True
            )
        ),
    )


def _choose(selection: Selection, importance: Floats, by_chance: Floats) -> npt.NDArray[np.bool_]:
    # Of equal ones the dictionary's first.
    order = np.argsort(-importance, kind="stable")
    is_kept = importance > by_chance
    if selection.columns is not None:
        is_kept = np.zeros(len(importance), np.bool_)
        is_kept[order[: selection.columns]] = True
    # A model of nothing is none.
    is_kept[order[0]] |= not is_kept.any()
    return is_kept


def _share_information(
    examples: Examples,
    places: Sequence[npt.NDArray[np.intp]],
    is_code: Sequence[bool],
    head: Head,
    seed: int,
    random: np.random.Generator,
) -> tuple[Floats, Floats]:
    """Measure what each feature alone says of the target, of several the one that it says most of."""
    columns = np.stack(
        [
            # What is no known code has zeros everywhere, and is a code more.
            (examples.numbers[:, place] * np.arange(1, len(place) + 1)).sum(axis=1)
            for place in places
        ],
        axis=1,
    )
    measure = mutual_info_classif if head.task.is_classification else mutual_info_regression

    def inform(target: npt.NDArray[np.float64]) -> Floats:
        by_target = [
            measure(columns, one, discrete_features=np.array(is_code), random_state=seed)
            for one in target.reshape(len(target), -1).T
        ]
        return np.asarray(np.max(by_target, axis=0), np.float64)

    target = examples.target
    by_chance = [inform(target[random.permutation(len(target))]) for _ in range(_SHUFFLES)]
    return inform(target), np.max(by_chance, axis=0)


def _grow_forests(
    examples: Examples,
    places: Sequence[npt.NDArray[np.intp]],
    head: Head,
    seed: int,
    random: np.random.Generator,
) -> tuple[Floats, Floats]:
    """Measure what forests make of each feature among the others, and of a shuffled copy of it."""
    kind = RandomForestClassifier if head.task.is_classification else RandomForestRegressor
    weights = head.weigh(examples.target)
    found = []
    for number in range(_FORESTS):
        # The numbers of one feature stay together.
        copies = [examples.numbers[:, place][random.permutation(len(examples.numbers))] for place in places]
        forest = kind(n_estimators=_TREES, min_samples_leaf=2, random_state=shift_seed(seed, number))
        doubled = np.concatenate([examples.numbers, *copies], axis=1)
        forest.fit(doubled, examples.target, sample_weight=weights)
        found.append(forest.feature_importances_.reshape(2, -1))
    starts = [int(place[0]) for place in places]
    by_feature = np.add.reduceat(np.array(found), starts, axis=2)
    return by_feature[:, 0].mean(axis=0), by_feature[:, 1].max(axis=0)


def _shuffle_each(
    examples: Examples,
    places: Sequence[npt.NDArray[np.intp]],
    head: Head,
    learner: Learner,
    folds: Sequence[Fold],
    random: np.random.Generator,
) -> tuple[Floats, Floats]:
    """Measure what models lose, each on rows held out, where one feature's values are shuffled among them."""
    rises = np.zeros((len(places), len(examples.numbers)))
    # The earliest rows of a table with times are never held out.
    is_held_out = np.zeros(len(examples.numbers), np.bool_)
    for fitted, left in folds:
        fitted_on, held_out = examples.take(fitted), examples.take(left)
        curve = learner.look(head, fitted_on, held_out) if learner.is_fitted_by_epochs else Curve((), ())
        model = learner.fit(head, fitted_on, curve)
        before = measure_losses(head, held_out.target, model.predict(held_out.numbers))
        for feature, place in enumerate(places):
            for _ in range(_REPEATS):
                numbers = held_out.numbers.copy()
                numbers[:, place] = numbers[random.permutation(len(numbers))][:, place]
                after = measure_losses(head, held_out.target, model.predict(numbers))
                rises[feature, left] += (after - before) / _REPEATS
        is_held_out[left] = True
    rises = rises[:, is_held_out]
    return rises.mean(axis=1), _SURE * rises.std(axis=1, ddof=1) / np.sqrt(rises.shape[1])


def _has_classes(head: Head, target: npt.NDArray[Any]) -> bool:
    return head.task.is_classification and target.ndim == 1


def _divide(
    examples: Examples,
    head: Head,
    seed: int,
    entities: npt.NDArray[Any] | None = None,
    moments: npt.NDArray[np.int64] | None = None,
) -> list[Fold]:
    """Divide rows into folds: what is fitted on, and what is held out.

    They are divided by class where there are classes, and no entity's rows are among two of them; where rows
    have moments, what is held out comes after what is fitted on.
    """
    numbers, target = examples.numbers, examples.target
    folds = _FOLDS
    has_classes = _has_classes(head, target)
    if moments is not None:
        # The earliest fold of a comparison has few rows: one part that is later than the rest is enough.
        return divide_by_time(folds, moments, target.astype(np.intp) if has_classes else None, least=1)
    if has_classes:
        counts = np.bincount(target.astype(np.intp), minlength=max(2, head.width))
        folds = min(folds, int(counts.min()))
        if folds < _LEAST_ROWS:
            raise InputError(
                describe(
                    "permutation_importance has too few rows of a class to hold one of them out",
                    expected=f"at least {_LEAST_ROWS} of each class among those that a model is fitted on",
                    received=str(folds),
                    next_step="bring more rows, or choose features by mutual_information",
                )
            )
    if entities is None:
        kind = StratifiedKFold if has_classes else KFold
        return list(kind(folds, shuffle=True, random_state=seed).split(numbers, target))
    groups = len(np.unique(entities))
    parts: list[Fold] = []
    if groups > 1:
        kind = StratifiedGroupKFold if has_classes else GroupKFold
        divided = kind(min(folds, groups), shuffle=True, random_state=seed)
        parts = list(divided.split(numbers, target, entities))
    classes = len(np.unique(target)) if has_classes else 0
    lacks = any(has_classes and len(np.unique(target[fitted])) < classes for fitted, _ in parts)
    if not parts or lacks or not all(len(left) for _, left in parts):
        raise InputError(
            describe(
                "permutation_importance has too few entities to hold some of them out",
                expected="entities to fit on and entities to hold out, and every class among the former",
                received=f"{groups} entities in {len(target)} rows",
                next_step="bring rows of more entities, or choose features by mutual_information",
            )
        )
    return parts
