"""The shares of columns in a prediction are Shapley's, and add up."""

import itertools
import math
import time

import numpy as np
import pytest

from mulgil.serving import explanation
from mulgil.serving.explanation import Explainer, OutOfTimeError

WIDTHS = (1, 3, 1, 2, 1)


def make_model(outputs):
    random = np.random.default_rng(outputs)
    first, second = random.normal(size=(sum(WIDTHS), 6)), random.normal(size=(6, outputs))

    def predict(rows):
        answer = np.tanh(rows @ first) @ second
        return answer[:, 0] if outputs == 1 else answer

    return predict


def by_every_order(predict, widths, background, instance):
    """Shapley's definition: the mean gain of each column over all orders and background rows."""
    ends = np.cumsum(widths)
    parts = [slice(end - width, end) for end, width in zip(ends, widths, strict=True)]
    total, count = 0.0, 0
    for row in background:
        for order in itertools.permutations(range(len(widths))):
            mixed = [row.copy()]
            for column in order:
                mixed.append(mixed[-1].copy())
                mixed[-1][parts[column]] = instance[parts[column]]
            gains = np.diff(predict(np.array(mixed)).reshape(len(mixed), -1), axis=0)
            total = total + gains[np.argsort(order)]
            count += 1
    return total / count


@pytest.fixture(params=[1, 3], ids=["one output", "three outputs"])
def case(request):
    random = np.random.default_rng(7)
    rows = random.normal(size=(6, sum(WIDTHS)))
    predict = make_model(request.param)
    return predict, rows[1:], rows[0], by_every_order(predict, WIDTHS, rows[1:], rows[0])


def test_few_columns_get_shapleys_values_exactly(case):
    predict, background, instance, expected = case

    found = Explainer(predict, WIDTHS, background).explain(instance)

    np.testing.assert_allclose(found.shares, expected, atol=1e-9)
    assert not found.errors.any()


def test_drawn_values_are_as_near_as_their_errors_say(case, monkeypatch):
    monkeypatch.setattr(explanation, "_MOST_EXACT_ROWS", 0)
    monkeypatch.setattr(explanation, "_MOST_ROUNDS", 200)
    predict, background, instance, expected = case

    found = Explainer(predict, WIDTHS, background).explain(instance, seed=3)

    assert (np.abs(found.shares - expected) <= 4 * found.errors + 1e-9).all()
    assert 0 < found.errors.max() < 0.1
    again = Explainer(predict, WIDTHS, background).explain(instance, seed=3)
    np.testing.assert_array_equal(found.shares, again.shares)


@pytest.mark.parametrize("most_exact_rows", [0, 10**6], ids=["drawn", "exact"])
def test_the_shares_add_up_to_the_prediction_less_the_expectation(case, monkeypatch, most_exact_rows):
    monkeypatch.setattr(explanation, "_MOST_EXACT_ROWS", most_exact_rows)
    predict, background, instance, _ = case

    found = Explainer(predict, WIDTHS, background).explain(instance)

    np.testing.assert_allclose(found.shares.sum(axis=0), found.prediction - found.expectation, atol=1e-9)
    np.testing.assert_allclose(found.expectation, predict(background).reshape(5, -1).mean(axis=0))


def test_a_deadline_that_is_over_leaves_one_draw_that_still_adds_up(case, monkeypatch):
    monkeypatch.setattr(explanation, "_MOST_EXACT_ROWS", 0)
    predict, background, instance, _ = case

    found = Explainer(predict, WIDTHS, background).explain(instance, deadline=time.monotonic() - 1)

    assert found.errors is None
    np.testing.assert_allclose(found.shares.sum(axis=0), found.prediction - found.expectation, atol=1e-9)


@pytest.mark.parametrize("most_exact_rows", [0, 10**6], ids=["drawn", "exact"])
def test_a_slow_model_is_given_up_soon_after_the_end(case, monkeypatch, most_exact_rows):
    monkeypatch.setattr(explanation, "_MOST_EXACT_ROWS", most_exact_rows)
    monkeypatch.setattr(explanation, "_ROWS_AT_ONCE", 7)
    predict, background, instance, _ = case
    asked = []

    def predict_slowly(rows):
        asked.append(len(rows))
        # The clock is the model's: each prediction takes a second.
        return predict(rows)

    monkeypatch.setattr(explanation.time, "monotonic", lambda: float(sum(asked)))
    explainer = Explainer(predict_slowly, WIDTHS, background)
    asked.clear()

    # One row is the instance's own prediction.
    with pytest.raises(OutOfTimeError):
        explainer.explain(instance, deadline=10.0, end=20.0)
    assert 20 < sum(asked) <= 20 + 7

    asked.clear()
    found = explainer.explain(instance, deadline=10.0, end=1000.0)
    # What was begun in the exact way, and one draw: both ways through the columns from each background row.
    assert sum(asked) <= 10 + 7 + 1 + 2 * (len(WIDTHS) + 1) * len(background)
    assert found.errors is None
    np.testing.assert_allclose(found.shares.sum(axis=0), found.prediction - found.expectation, atol=1e-9)


def test_a_column_that_the_model_does_not_read_has_no_share(monkeypatch):
    random = np.random.default_rng(0)
    rows = random.normal(size=(9, 30))
    assert explanation._MOST_EXACT_ROWS < 2**30

    found = Explainer(lambda encoded: encoded[:, 4] * 2, [1] * 30, rows[1:]).explain(rows[0])

    expected = np.zeros(30)
    expected[4] = 2 * (rows[0, 4] - rows[1:, 4].mean())
    np.testing.assert_allclose(found.shares[:, 0], expected, atol=1e-9)
    assert math.isclose(found.errors.max(), 0, abs_tol=1e-9)
