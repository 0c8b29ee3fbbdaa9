"""Rows whose target is probably wrong: a model that has not seen them is sure of another answer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import threadpoolctl
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_predict

from mulgil.drafting.profile import ColumnProfile
from mulgil.exploration.columns import Codes, Explored, Floats, matrix, words_of

# More rows add seconds and few doubts. Chosen by eye.
_MOST_ROWS = 20_000
_FOLDS = 5
_SHOWN = 20

# A model that foretells hardly anything has no reason to doubt a label. Chosen by eye.
_LEAST_EXPLAINED = 0.2
# Rows between two classes are no mistakes; a label that is one is foretold otherwise surely. Chosen by eye.
_LEAST_SURE = 0.9

# So many robust deviations from what is foretold is no noise; chosen by eye.
_FAR = 8.0
# Of the target's own robust deviations. Chosen by eye.
_BEYOND = 3.0


@dataclass(frozen=True)
class Doubt:
    """A row whose target a model doubts.

    Attributes:
        row: Its position in the source, from 1.
        said: What stands there.
        foretold: What the model foretells.
        sureness: How sure it is: a probability, or deviations from what is foretold.
    """

    row: int
    said: str
    foretold: str
    sureness: float


@dataclass(frozen=True)
class Doubts:
    """What cross-validation doubts.

    Attributes:
        judged: How many rows were judged.
        found: How many of them are doubted.
        shown: Those that are doubted most.
    """

    judged: int
    found: int
    shown: tuple[Doubt, ...]


def find_doubts(explored: Explored, features: tuple[ColumnProfile, ...]) -> Doubts | None:
    """Return the rows that a model doubts which was fitted on the others.

    Returns:
        `None` where there are too few rows, or the features tell too little of the target to doubt any.

    Source:
        Northcutt, Jiang, Chuang (2021), Confident Learning, JAIR 70: a label is doubted where the probability
        of another class is above the mean that rows of that class themselves have.
    """
    target = explored.target
    places = np.flatnonzero(np.isfinite(target.numbers) if explored.is_a_number else target.codes >= 0)
    if not features or len(places) < 10 * _FOLDS:
        return None
    if len(places) > _MOST_ROWS:
        places = places[np.linspace(0, len(places) - 1, _MOST_ROWS).astype(np.int64)]
    inputs = matrix(features)[places]
    if explored.is_a_number:
        return _doubt_numbers(explored, places, inputs)
    return _doubt_classes(explored, places, inputs)


def _doubt_classes(explored: Explored, places: Codes, inputs: Floats) -> Doubts | None:
    codes = explored.target.codes[places]
    classes, counts = np.unique(codes, return_counts=True)
    common = classes[counts >= 2 * _FOLDS]
    if not 2 <= len(common) <= 20:
        return None
    is_common = np.isin(codes, common)
    places, inputs, codes = places[is_common], inputs[is_common], np.searchsorted(common, codes[is_common])
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=0)
    # Small trees that learn slowly: one that knows rows by heart is sure where it should not be.
    model = HistGradientBoostingClassifier(
        max_iter=50, learning_rate=0.05, max_leaf_nodes=4, l2_regularization=5.0, random_state=0
    )
    with _one_thread():
        chances = cross_val_predict(model, inputs, codes, cv=folds, method="predict_proba")
    rows = np.arange(len(codes))
    truth = np.eye(len(common))[codes]
    if 1 - ((chances - truth) ** 2).sum() / ((truth - truth.mean(axis=0)) ** 2).sum() < _LEAST_EXPLAINED:
        return None
    own = chances[rows, codes]
    usual = np.array([own[codes == place].mean() for place in range(len(common))])
    # At least as sure as it is, in the mean, of rows that are of the class.
    sure = np.where(chances >= usual, chances, 0.0)
    sure[rows, codes] = 0.0
    other = sure.argmax(axis=1)
    sureness = np.where(other != codes, sure[rows, other], 0.0)
    doubted = np.flatnonzero(sureness >= _LEAST_SURE)
    words = words_of(explored.target)
    shown = sorted(doubted, key=lambda row: -sureness[row])[:_SHOWN]
    return Doubts(
        len(codes),
        len(doubted),
        tuple(
            Doubt(
                explored.row_of(int(places[row])),
                words[common[codes[row]]],
                words[common[other[row]]],
                float(sureness[row]),
            )
            for row in shown
        ),
    )


def _doubt_numbers(explored: Explored, places: Codes, inputs: Floats) -> Doubts | None:
    truth = explored.target.numbers[places]
    # By the absolute error, because one that is far off would draw a model of squares to itself.
    model = HistGradientBoostingRegressor(loss="absolute_error", max_iter=50, random_state=0)
    folds = KFold(_FOLDS, shuffle=True, random_state=0)
    with _one_thread():
        foretold = cross_val_predict(model, inputs, truth, cv=folds)
    errors = truth - foretold
    deviation, spread = _spread(errors), _spread(truth)
    if deviation > (1 - _LEAST_EXPLAINED) * spread:
        return None
    distance = np.abs(errors) / deviation
    # Far from what is foretold, and by more than trees miss where the target has its few greatest values.
    doubted = np.flatnonzero((distance > _FAR) & (np.abs(errors) > _BEYOND * spread))
    shown = sorted(doubted, key=lambda row: -distance[row])[:_SHOWN]
    return Doubts(
        len(truth),
        len(doubted),
        tuple(
            Doubt(
                explored.row_of(int(places[row])),
                f"{truth[row]:g}",
                f"{foretold[row]:.4g}",
                float(distance[row]),
            )
            for row in shown
        ),
    )


def _spread(values: Floats) -> float:
    """Return the standard deviation as the middle half of the values has it, which outliers do not move."""
    middle = 1.4826 * float(np.median(np.abs(values - np.median(values))))
    return middle or float(values.std()) or 1.0


def _one_thread() -> threadpoolctl.threadpool_limits:
    # The threads wait by spinning: where others use the cores too, two take many times as long as one.
    return threadpoolctl.threadpool_limits(1, "openmp")
