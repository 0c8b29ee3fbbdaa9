"""What pictures show of a model's probabilities."""

import numpy as np
import pytest
import sklearn.metrics as sk

from components.evaluate_model.curves import draw_curves
from mulgil.artifacts import ScoreCurves


@pytest.fixture(scope="module")
def rows():
    generator = np.random.default_rng(3)
    target = generator.random(5000) < 0.3
    return target, np.clip(0.3 * target + 0.7 * generator.random(5000), 0, 1)


def test_a_long_curve_is_thinned_and_keeps_its_ends_and_its_area(rows):
    target, probability = rows
    curves = draw_curves(target, probability)
    x, y = np.array(curves.roc).T

    assert len(curves.roc) <= 200
    assert (curves.roc[0], curves.roc[-1]) == ((0, 0), (1, 1))
    assert np.trapezoid(y, x) == pytest.approx(sk.roc_auc_score(target, probability), abs=0.003)
    assert curves.precision_recall[0] == (0, 1)
    assert curves.precision_recall[-1][0] == 1


def test_every_row_is_counted_once(rows):
    target, probability = rows
    curves = draw_curves(target, probability)
    confusion = curves.confusion

    assert sum(part.rows for part in curves.calibration) == len(target)
    assert (sum(curves.scores["no"]), sum(curves.scores["yes"])) == ((~target).sum(), target.sum())
    assert confusion.true_positives + confusion.false_negatives == target.sum()
    assert (confusion.true_positives, confusion.false_positives) == (
        (target & (probability >= 0.5)).sum(),
        (~target & (probability >= 0.5)).sum(),
    )


def test_calibration_rises_with_the_probability_and_averages_to_the_share_of_yes(rows):
    target, probability = rows
    bins = draw_curves(target, probability).calibration

    assert len(bins) == 10
    assert [part.probability for part in bins] == sorted(part.probability for part in bins)
    assert np.average([part.share for part in bins], weights=[part.rows for part in bins]) == pytest.approx(
        target.mean()
    )


def test_two_rows_are_enough():
    curves = draw_curves(np.array([True, False]), np.array([1.0, 0.0]))

    assert len(curves.calibration) == 1
    assert ScoreCurves.model_validate_json(curves.model_dump_json()) == curves
