"""The threshold of a yes: the cheapest, or the one that holds what is asked for with least harm."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from components.evaluate_model.calls import replicate_calls
from components.evaluate_model.gates import check_decision
from components.train_model.threshold import choose_threshold
from mulgil.contract import Metric, Task
from mulgil.contract.decision import Decision
from mulgil.reports.decision_figures import cost_of, draw_decision

TARGET = np.array([False] * 6 + [True] * 4)
PROBABILITY = np.array([0.05, 0.1, 0.2, 0.3, 0.6, 0.7, 0.25, 0.55, 0.8, 0.9])

ROWS = st.lists(
    st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0])), min_size=2
).filter(lambda rows: len({answer for answer, _ in rows}) == 2)


def _of(rows):
    return np.array([answer for answer, _ in rows]), np.array([score for _, score in rows])


@given(ROWS, st.floats(0.1, 10), st.floats(0.1, 10))
def test_no_threshold_is_cheaper(rows, alarm, miss):
    target, score = _of(rows)
    rule = choose_threshold(Decision(false_positive_cost=alarm, false_negative_cost=miss), target, score)

    def cost(threshold):
        called = score >= threshold
        return (called & ~target).sum() * alarm + (~called & target).sum() * miss

    # What calls none stands above 1.
    others = [cost(threshold) for threshold in [*np.linspace(0, 1, 21), 1.1]]
    assert cost(rule.threshold) <= min(others) + 1e-9


@given(ROWS, st.floats(0.05, 0.95))
def test_a_constraint_holds_and_no_threshold_does_less_harm(rows, share):
    target, score = _of(rows)
    found = choose_threshold(Decision(least_recall=share), target, score)
    assert (score[target] >= found.threshold).mean() >= share
    # The next score calls the same, and those above it call less.
    higher = np.unique(score)[np.unique(score) > found.threshold][1:]
    assert all((score[target] >= one).mean() < share for one in higher)
    few = choose_threshold(Decision(greatest_false_positive_rate=share), target, score)
    assert (score[~target] >= few.threshold).mean() <= share
    lower = np.unique(score)[np.unique(score) < few.threshold]
    assert all((score[~target] >= one).mean() > share for one in lower)


def test_costs_move_the_threshold_the_way_they_pull():
    cheap_alarm = choose_threshold(
        Decision(false_positive_cost=1, false_negative_cost=20), TARGET, PROBABILITY
    )
    dear_alarm = choose_threshold(
        Decision(false_positive_cost=20, false_negative_cost=1), TARGET, PROBABILITY
    )
    assert cheap_alarm.threshold < 0.25 < 0.7 < dear_alarm.threshold


def test_a_precision_that_no_threshold_gives_fails_the_gate_with_the_nearest():
    rule = choose_threshold(Decision(least_precision=0.95), ~TARGET, PROBABILITY)
    check = check_decision(rule)
    assert not check.is_passed
    assert "no threshold gives precision of at least 0.95 on 10 validation rows" in check.reason
    assert check_decision(choose_threshold(Decision(least_precision=0.9), TARGET, PROBABILITY)).is_passed


def test_metrics_of_calls_go_by_the_threshold_and_the_others_do_not():
    metrics = (Metric.ROC_AUC, Metric.RECALL, Metric.PRECISION, Metric.LOG_LOSS)
    task = Task.BINARY_CLASSIFICATION
    low = replicate_calls(task, TARGET, {"model": PROBABILITY}, metrics, 0.22)["model"]
    half = replicate_calls(task, TARGET, {"model": PROBABILITY}, metrics, 0.5)["model"]
    assert low[Metric.RECALL].value == 1.0
    assert half[Metric.RECALL].value == 0.75
    assert low[Metric.PRECISION].value == pytest.approx(4 / 7)
    for metric in (Metric.ROC_AUC, Metric.LOG_LOSS):
        assert low[metric].value == half[metric].value
        np.testing.assert_array_equal(low[metric].resampled, half[metric].resampled)


def test_the_page_says_what_each_threshold_costs():
    decision = Decision(false_positive_cost=2, false_negative_cost=5, unit="EUR")
    rule = choose_threshold(decision, TARGET, PROBABILITY)
    at_half = next(point for point in rule.points if point.threshold == 0.5)
    assert (at_half.false_positives, at_half.false_negatives) == (2, 1)
    assert cost_of(at_half, rule) == 1000 * (2 * 2 + 5) / 10
    mistakes, cost = draw_decision(rule)
    assert ("0.5", "300", "100", "200", "400") in mistakes.body
    assert ("0.5", "900") in cost.body
    assert "EUR" in cost.note
    assert len(draw_decision(choose_threshold(Decision(least_recall=0.9), TARGET, PROBABILITY))) == 1


@pytest.mark.parametrize(
    ("given", "received"),
    [
        ({}, "nothing"),
        ({"false_positive_cost": 1}, "false_positive_cost"),
        ({"least_recall": 0.9, "least_precision": 0.9}, "least_recall, least_precision"),
        ({"false_positive_cost": 1, "false_negative_cost": 1, "least_recall": 0.5}, "least_recall"),
    ],
)
def test_a_rule_that_is_none_or_two_is_refused(given, received):
    with pytest.raises(ValidationError, match=received):
        Decision(**given)
