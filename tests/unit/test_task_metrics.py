import numpy as np
import pytest
import sklearn.metrics as sk

from components.evaluate_model.bootstrap import replicate
from components.evaluate_model.intervals import find_interval
from components.evaluate_model.task_metrics import MEDIAN, is_measurable, measure_task
from components.evaluate_model.weightings import Weightings
from mulgil.contract import Metric, Task
from mulgil.contract.learning import TASK_FORMS

ROWS = 90


def softmax(scores):
    shares = np.exp(scores)
    return shares / shares.sum(axis=1, keepdims=True)


def drawn(task):
    """Rows and predictions that are right more often than not."""
    generator = np.random.default_rng(7)
    if task is Task.MULTICLASS_CLASSIFICATION:
        target = generator.integers(0, 3, ROWS)
        return target, softmax(2 * np.eye(3)[target] + generator.normal(size=(ROWS, 3)))
    if task is Task.MULTILABEL_CLASSIFICATION:
        target = generator.random((ROWS, 3)) < 0.4
        return target, np.clip(0.3 * target + 0.7 * generator.random((ROWS, 3)), 0.01, 0.99)
    shape = ROWS if task is Task.SCALAR_REGRESSION else (ROWS, 2)
    target = generator.normal(1e4, 10, size=shape)
    return target, target + generator.normal(0, 4, size=shape)


def mean_over_labels(function, **options):
    def measured(y, p, sample_weight):
        parts = [function(y[:, i], p[:, i], sample_weight=sample_weight, **options) for i in range(3)]
        return np.mean(parts)

    return measured


def one_hot(y):
    return np.eye(3)[y]


def called(function, **options):
    return lambda y, p, sample_weight: function(
        y, p.argmax(axis=1), average="macro", sample_weight=sample_weight, zero_division=0, **options
    )


def at_half(function, **options):
    return mean_over_labels(lambda y, p, **kw: function(y, p >= 0.5, **options, **kw))


REFERENCES = {
    Task.MULTICLASS_CLASSIFICATION: {
        Metric.ACCURACY: lambda y, p, **kw: sk.accuracy_score(y, p.argmax(axis=1), **kw),
        Metric.PRECISION: called(sk.precision_score),
        Metric.RECALL: called(sk.recall_score),
        Metric.F1: called(sk.f1_score),
        Metric.ROC_AUC: lambda y, p, **kw: sk.roc_auc_score(y, p, multi_class="ovr", **kw),
        Metric.PR_AUC: lambda y, p, **kw: sk.average_precision_score(one_hot(y), p, **kw),
        Metric.LOG_LOSS: sk.log_loss,
        Metric.BRIER: sk.brier_score_loss,
    },
    Task.MULTILABEL_CLASSIFICATION: {
        Metric.ROC_AUC: sk.roc_auc_score,
        Metric.PR_AUC: sk.average_precision_score,
        Metric.SUBSET_ACCURACY: lambda y, p, **kw: sk.accuracy_score(y, p >= 0.5, **kw),
        Metric.ACCURACY: at_half(sk.accuracy_score),
        Metric.PRECISION: at_half(sk.precision_score, zero_division=0),
        Metric.RECALL: at_half(sk.recall_score),
        Metric.F1: at_half(sk.f1_score),
        Metric.LOG_LOSS: mean_over_labels(sk.log_loss),
        Metric.BRIER: mean_over_labels(sk.brier_score_loss),
        Metric.FALSE_POSITIVE_RATE: mean_over_labels(
            lambda y, p, **kw: 1 - sk.recall_score(~y, p < 0.5, **kw)
        ),
        Metric.FALSE_NEGATIVE_RATE: mean_over_labels(
            lambda y, p, **kw: 1 - sk.recall_score(y, p >= 0.5, **kw)
        ),
    },
    Task.SCALAR_REGRESSION: {
        Metric.R2: sk.r2_score,
        Metric.MAE: sk.mean_absolute_error,
        Metric.RMSE: sk.root_mean_squared_error,
        Metric.PINBALL: sk.mean_pinball_loss,
    },
}
REFERENCES[Task.VECTOR_REGRESSION] = REFERENCES[Task.SCALAR_REGRESSION]

ALL = [(task, metric) for task, metrics in REFERENCES.items() for metric in metrics]


def test_every_metric_of_every_task_has_a_reference():
    for task, references in REFERENCES.items():
        assert set(references) == set(TASK_FORMS[task].metrics)


@pytest.mark.parametrize(("task", "metric"), ALL)
def test_a_metric_equals_scikit_learns_under_every_weighting(task, metric):
    target, predicted = drawn(task)
    weights = np.random.default_rng(8).integers(0, 4, size=(20, ROWS)).astype(float)

    measured = measure_task(task, metric, target, predicted, Weightings.of_rows(weights), quantile=MEDIAN)

    expected = [REFERENCES[task][metric](target, predicted, sample_weight=row) for row in weights]
    np.testing.assert_allclose(measured, expected, rtol=1e-9)


@pytest.mark.parametrize("task", [Task.SCALAR_REGRESSION, Task.VECTOR_REGRESSION])
@pytest.mark.parametrize("quantile", [0.1, 0.9])
def test_the_pinball_loss_of_a_quantile_equals_scikit_learns(task, quantile):
    target, predicted = drawn(task)

    measured = replicate(task, target, {"m": predicted}, [Metric.PINBALL], quantile=quantile)["m"]

    expected = sk.mean_pinball_loss(target, predicted, alpha=quantile)
    assert measured[Metric.PINBALL].value == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("task", "metric"), ALL)
def test_groups_of_rows_weigh_as_their_rows_do(task, metric):
    target, predicted = drawn(task)
    generator = np.random.default_rng(9)
    group_of = generator.permutation(ROWS) % 20
    weights = generator.integers(0, 4, size=(30, 20)).astype(float)

    by_group = measure_task(task, metric, target, predicted, Weightings(weights, group_of), quantile=MEDIAN)

    by_row = measure_task(
        task, metric, target, predicted, Weightings.of_rows(weights[:, group_of]), quantile=MEDIAN
    )
    np.testing.assert_allclose(by_group, by_row, rtol=1e-9)


@pytest.mark.parametrize("task", REFERENCES)
def test_groups_of_rows_that_are_all_alike_measure_nothing(task):
    target, _ = drawn(task)
    is_first = (target == target[0]).reshape(ROWS, -1).all(axis=1)
    groups = Weightings(np.array([[1.0, 1.0], [0.0, 2.0]]), is_first.astype(np.intp))

    assert is_measurable(task, target, groups).tolist() == [True, False]


@pytest.mark.parametrize(("task", "metric"), ALL)
def test_every_metric_has_an_interval_around_its_value(task, metric):
    target, predicted = drawn(task)

    replicates = replicate(task, target, {"m": predicted}, [metric])["m"][metric]

    interval = replicates.interval(0.95)
    assert interval.low < interval.value < interval.high


def test_a_class_that_a_weighting_lost_leaves_the_mean_of_the_others():
    target, predicted = drawn(Task.MULTICLASS_CLASSIFICATION)
    weights = (target != 2).astype(float)[None, :]

    measured = measure_task(
        Task.MULTICLASS_CLASSIFICATION,
        Metric.RECALL,
        target,
        predicted,
        Weightings.of_rows(weights),
        quantile=MEDIAN,
    )

    parts = [(predicted.argmax(axis=1) == target)[target == one].mean() for one in (0, 1)]
    assert measured == pytest.approx(np.mean(parts))


@pytest.mark.parametrize("task", REFERENCES)
def test_rows_that_are_all_alike_measure_nothing(task):
    target, _ = drawn(task)
    weights = np.ones((2, ROWS))
    weights[1] = 0
    weights[1, 0] = 3

    assert is_measurable(task, target, Weightings.of_rows(weights)).tolist() == [True, False]


def test_intervals_of_a_number_cover_the_truth_about_as_often_as_they_say():
    # 95 % nominal; 200 repetitions of 80 rows give the share a standard error of 1.5 points.
    generator = np.random.default_rng(0)
    hits = []
    for seed in range(200):
        target = generator.normal(size=80)
        predicted = target + generator.normal(scale=0.5, size=80)
        measured = replicate(Task.SCALAR_REGRESSION, target, {"m": predicted}, [Metric.RMSE], seed=seed)
        interval = find_interval(
            measured["m"][Metric.RMSE], Task.SCALAR_REGRESSION, Metric.RMSE, target, predicted, 0.95
        )
        hits.append(interval.low <= 0.5 <= interval.high)

    assert 0.905 <= np.mean(hits) <= 0.985
