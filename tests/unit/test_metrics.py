import numpy as np
import pytest
import sklearn.metrics as sk

from components.evaluate_model.metrics import measure
from components.evaluate_model.weightings import Weightings
from mulgil.contract import Metric

REFERENCES = {
    Metric.ROC_AUC: sk.roc_auc_score,
    Metric.PR_AUC: sk.average_precision_score,
    Metric.LOG_LOSS: sk.log_loss,
    Metric.BRIER: sk.brier_score_loss,
    Metric.ACCURACY: lambda y, p, **kw: sk.accuracy_score(y, p >= 0.5, **kw),
    Metric.PRECISION: lambda y, p, **kw: sk.precision_score(y, p >= 0.5, zero_division=0, **kw),
    Metric.RECALL: lambda y, p, **kw: sk.recall_score(y, p >= 0.5, **kw),
    Metric.FALSE_POSITIVE_RATE: lambda y, p, **kw: 1 - sk.recall_score(~y, p < 0.5, **kw),
    Metric.FALSE_NEGATIVE_RATE: lambda y, p, **kw: 1 - sk.recall_score(y, p >= 0.5, **kw),
    Metric.F1: lambda y, p, **kw: sk.f1_score(y, p >= 0.5, **kw),
}


@pytest.mark.parametrize("metric", REFERENCES)
@pytest.mark.parametrize("digits", [1, 8], ids=["many ties", "no ties"])
def test_a_metric_equals_scikit_learns_under_every_weighting(metric, digits):
    generator = np.random.default_rng(7)
    target = generator.random(80) < 0.3
    probability = np.clip(np.round(0.3 * target + 0.7 * generator.random(80), digits), 0.01, 0.99)
    weights = generator.integers(0, 4, size=(50, 80)).astype(float)

    measured = measure(metric, target, probability, Weightings.of_rows(weights))

    expected = [REFERENCES[metric](target, probability, sample_weight=row) for row in weights]
    np.testing.assert_allclose(measured, expected, rtol=1e-12)


def test_precision_is_zero_where_nothing_is_called_a_yes():
    target = np.array([True, False])

    assert measure(Metric.PRECISION, target, np.array([0.1, 0.2]), Weightings.equal(2)) == 0


def test_a_sure_and_wrong_answer_costs_much_and_not_infinity():
    target = np.array([True, False])

    (loss,) = measure(Metric.LOG_LOSS, target, np.array([0.0, 0.0]), Weightings.equal(2))

    assert loss == pytest.approx(sk.log_loss(target, np.zeros(2, np.float32)), rel=1e-6)


def test_a_prediction_that_looks_at_nothing_orders_nothing():
    target = np.array([True, False, False, False])
    prior = np.full(4, 0.25)

    assert measure(Metric.ROC_AUC, target, prior, Weightings.equal(4)) == 0.5
    assert measure(Metric.PR_AUC, target, prior, Weightings.equal(4)) == 0.25
