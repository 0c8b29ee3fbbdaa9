"""A counted metric at its bound has an interval of some width."""

import numpy as np
import pytest
from scipy.stats import binomtest

from components.evaluate_model.bootstrap import replicate
from components.evaluate_model.proportions import widen_collapsed
from mulgil.contract import Metric, Task

BINARY, CLASSES, LABELS = (
    Task.BINARY_CLASSIFICATION,
    Task.MULTICLASS_CLASSIFICATION,
    Task.MULTILABEL_CLASSIFICATION,
)


def interval_of(task, metric, target, predicted, confidence=0.95):
    bootstrapped = replicate(task, target, {"m": predicted}, [metric])["m"][metric].interval(confidence)
    return bootstrapped, widen_collapsed(bootstrapped, task, metric, target, predicted)


def exact(count, among, confidence=0.95):
    found = binomtest(count, among).proportion_ci(confidence, method="exact")
    return pytest.approx((found.low, found.high))


TARGET = np.arange(53) >= 33


@pytest.mark.parametrize(
    ("metric", "called", "count", "among"),
    [
        (Metric.ACCURACY, TARGET, 53, 53),
        (Metric.ACCURACY, ~TARGET, 0, 53),
        (Metric.RECALL, TARGET, 20, 20),
        (Metric.FALSE_NEGATIVE_RATE, TARGET, 0, 20),
        (Metric.FALSE_POSITIVE_RATE, TARGET, 0, 33),
        (Metric.PRECISION, np.arange(53) >= 45, 8, 8),
        (Metric.PRECISION, np.arange(53) < 7, 0, 7),
    ],
)
@pytest.mark.parametrize("confidence", [0.95, 0.8])
def test_a_share_at_its_bound_gets_scipys_exact_interval(metric, called, count, among, confidence):
    bootstrapped, interval = interval_of(BINARY, metric, TARGET, called * 0.8 + 0.1, confidence)

    assert bootstrapped.low == bootstrapped.high == interval.value
    assert (interval.low, interval.high) == exact(count, among, confidence)


def test_a_share_of_no_rows_may_be_anything():
    _, interval = interval_of(BINARY, Metric.PRECISION, TARGET, np.full(53, 0.2))

    assert (interval.low, interval.value, interval.high) == (0, 0, 1)


def test_a_perfect_f1_follows_from_the_share_that_is_both():
    _, interval = interval_of(BINARY, Metric.F1, TARGET, TARGET * 0.8 + 0.1)

    share = 0.025 ** (1 / 20)
    assert (interval.low, interval.high) == (pytest.approx(2 * share / (1 + share)), 1)


def test_a_mean_over_classes_or_labels_has_the_mean_of_their_limits():
    classes = np.repeat([0, 1, 2], [10, 20, 30])
    _, recall = interval_of(CLASSES, Metric.RECALL, classes, np.eye(3)[classes])
    _, accuracy = interval_of(CLASSES, Metric.ACCURACY, classes, np.eye(3)[classes])
    labels = np.stack([np.arange(40) < 12, np.arange(40) < 28], axis=1)
    _, rate = interval_of(LABELS, Metric.FALSE_POSITIVE_RATE, labels, labels * 0.8 + 0.1)
    _, subset = interval_of(LABELS, Metric.SUBSET_ACCURACY, labels, labels * 0.8 + 0.1)

    assert recall.low == pytest.approx(np.mean([0.025 ** (1 / rows) for rows in (10, 20, 30)]))
    assert (accuracy.low, accuracy.high) == exact(60, 60)
    assert rate.high == pytest.approx(np.mean([1 - 0.025 ** (1 / rows) for rows in (28, 12)]))
    assert (subset.low, subset.high) == exact(40, 40)


def test_an_interval_with_a_width_and_one_of_no_count_stay():
    target = np.arange(30) >= 20
    called = (np.arange(30) >= 18) * 0.8 + 0.1

    for metric in (Metric.ACCURACY, Metric.ROC_AUC):
        bootstrapped, interval = interval_of(BINARY, metric, target, called)
        assert bootstrapped.low < bootstrapped.high
        assert interval is bootstrapped
    bootstrapped, interval = interval_of(BINARY, Metric.ROC_AUC, target, target * 0.8)
    assert interval is bootstrapped


def test_the_interval_of_a_rare_error_covers_as_often_as_it_says():
    # Of 60 rows 2 % are wrong: three in ten samples show no error, where the bootstrap alone covers nothing.
    generator = np.random.default_rng(0)
    target = np.arange(60) >= 30
    covered = {"bootstrap": 0, "widened": 0}
    repetitions = 150

    for seed in range(repetitions):
        is_wrong = generator.random(60) < 0.02
        predicted = np.where(target ^ is_wrong, 0.9, 0.1)
        replicates = replicate(BINARY, target, {"m": predicted}, [Metric.ACCURACY], seed=seed)
        alone = replicates["m"][Metric.ACCURACY].interval(0.95)
        widened = widen_collapsed(alone, BINARY, Metric.ACCURACY, target, predicted)
        covered["bootstrap"] += alone.low <= 0.98 <= alone.high
        covered["widened"] += widened.low <= 0.98 <= widened.high

    assert covered["bootstrap"] < 0.8 * repetitions
    assert covered["widened"] > 0.93 * repetitions
