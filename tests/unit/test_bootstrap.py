import numpy as np
import pytest
from scipy.stats import bootstrap, norm

from components.evaluate_model import bootstrap as bootstrapping
from components.evaluate_model.bootstrap import replicate
from components.evaluate_model.metrics import measure
from components.evaluate_model.weightings import Weightings
from mulgil.contract import Metric, Task
from mulgil.contract.learning import TASK_FORMS


def value_of(target, probability, metric):
    return measure(metric, target, probability, Weightings.equal(len(target)))[0]


def scored(generator, rows, distance, share=0.4):
    target = generator.random(rows) < share
    return target, norm.cdf(generator.normal(size=rows) + distance * target)


def interval_of(target, probability, metric, confidence=0.95, **options):
    return replicate(Task.BINARY_CLASSIFICATION, target, {"m": probability}, [metric], **options)["m"][
        metric
    ].interval(confidence)


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    # 95 % nominal; 200 repetitions of 60 rows give the share a standard error of 1.5 points.
    generator = np.random.default_rng(0)
    truth = norm.cdf(1.5 / np.sqrt(2))

    intervals = [interval_of(*scored(generator, 60, 1.5), Metric.ROC_AUC, seed=i) for i in range(200)]

    assert 0.905 <= np.mean([i.low <= truth <= i.high for i in intervals]) <= 0.985


@pytest.mark.parametrize("metric", [Metric.ROC_AUC, Metric.LOG_LOSS])
def test_intervals_of_rows_drawn_in_groups_cover_the_truth_as_often(monkeypatch, metric):
    # Groups of eight rows and 64 levels: far coarser than what 2,048 of each do to a million rows.
    monkeypatch.setattr(bootstrapping, "_MOST_UNITS", 100)
    monkeypatch.setattr(bootstrapping, "_MOST_LEVELS", 64)
    generator = np.random.default_rng(10)
    truth = value_of(*scored(np.random.default_rng(11), 2_000_000, 1.5, 0.1), metric)

    intervals = [interval_of(*scored(generator, 800, 1.5, 0.1), metric, seed=i) for i in range(200)]

    assert 0.905 <= np.mean([i.low <= truth <= i.high for i in intervals]) <= 0.985


def test_a_rare_class_is_ordered_exactly_where_levels_are_merged():
    generator = np.random.default_rng(12)
    target = np.arange(50_000) < 60
    probability = norm.cdf(generator.normal(size=50_000) + 3 * target)

    for metric in (Metric.ROC_AUC, Metric.PR_AUC):
        exact, merged = (
            measure(metric, target, probability, Weightings.equal(50_000, n)) for n in (None, 1024)
        )
        assert merged == pytest.approx(exact, rel=1e-12)


def test_merged_levels_move_a_metric_far_less_than_its_interval_is_wide():
    target, probability = scored(np.random.default_rng(13), 50_000, 1.5)

    for metric in (Metric.ROC_AUC, Metric.PR_AUC):
        interval = interval_of(target, probability, metric)
        merged = measure(metric, target, probability, Weightings.equal(50_000, 4096))
        assert abs(interval.value - merged) < 0.05 * (interval.high - interval.low)
        assert interval.low < interval.value < interval.high


@pytest.mark.parametrize(
    "rows", [60, 2000, 5000], ids=["each row left out", "groups left out", "groups drawn"]
)
def test_an_interval_of_a_mean_equals_scipys(rows):
    target, probability = scored(np.random.default_rng(1), rows, 1.0)
    errors = (probability - target) ** 2

    interval = interval_of(target, probability, Metric.BRIER)

    expected = bootstrap((errors,), np.mean, n_resamples=4000, rng=np.random.default_rng(2), batch=500)
    width = expected.confidence_interval.high - expected.confidence_interval.low
    assert interval.value == pytest.approx(errors.mean())
    assert interval.low == pytest.approx(expected.confidence_interval.low, abs=0.08 * width)
    assert interval.high == pytest.approx(expected.confidence_interval.high, abs=0.08 * width)


def test_the_same_rows_and_seed_give_the_same_interval():
    target, probability = scored(np.random.default_rng(3), 50, 1.0)

    first, again, other = (interval_of(target, probability, Metric.F1, seed=seed) for seed in (0, 0, 1))

    assert first == again != other


def test_a_perfect_order_has_an_interval_that_ends_at_one():
    target = np.arange(20) >= 12

    interval = interval_of(target, np.arange(20) / 20, Metric.ROC_AUC)

    assert (interval.low, interval.value, interval.high) == (1, 1, 1)


@pytest.mark.parametrize("metric", TASK_FORMS[Task.BINARY_CLASSIFICATION].metrics)
def test_every_metric_has_an_interval_where_a_class_has_two_rows(metric):
    target = np.arange(30) >= 28
    probability = np.linspace(0.05, 0.8, 30)

    interval = interval_of(target, probability, metric)

    assert interval.low <= interval.value <= interval.high


def test_a_model_is_neither_better_nor_worse_than_itself():
    target, probability = scored(np.random.default_rng(4), 40, 1.0)
    measured = replicate(
        Task.BINARY_CLASSIFICATION, target, {"a": probability, "b": probability.copy()}, [Metric.ROC_AUC]
    )

    improvement = measured["a"][Metric.ROC_AUC].better_than(measured["b"][Metric.ROC_AUC], Metric.ROC_AUC)

    interval = improvement.interval(0.95)
    assert (interval.low, interval.value, interval.high) == (0, 0, 0)


def test_a_difference_between_two_models_is_paired():
    # Scores that err together: far surer of their difference than of either.
    target, probability = scored(np.random.default_rng(5), 60, 1.0)
    worse = probability + np.random.default_rng(6).normal(scale=0.02, size=60)
    measured = replicate(Task.BINARY_CLASSIFICATION, target, {"a": probability, "b": worse}, [Metric.ROC_AUC])

    a, b = measured["a"][Metric.ROC_AUC], measured["b"][Metric.ROC_AUC]

    difference, alone = a.better_than(b, Metric.ROC_AUC).interval(0.95), a.interval(0.95)
    assert difference.high - difference.low < (alone.high - alone.low) / 3


def test_a_smaller_loss_is_an_improvement():
    target, probability = scored(np.random.default_rng(8), 60, 2.0)
    measured = replicate(
        Task.BINARY_CLASSIFICATION,
        target,
        {"a": probability, "prior": np.full(60, target.mean())},
        [Metric.BRIER],
    )

    a, prior = measured["a"][Metric.BRIER], measured["prior"][Metric.BRIER]

    assert a.value < prior.value
    assert a.better_than(prior, Metric.BRIER).interval(0.95).low > 0
