"""The declared directions of association, held against numbers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from components.validate_data.association import correlate_ranks, judge_association
from mulgil.contract import Association

generator = np.random.default_rng(0)
SEVERITY = generator.normal(size=200)
ANSWERS = (SEVERITY + generator.normal(size=200) > 0).astype(float)


def test_the_correlation_is_scipys_with_ties_and_missing_values_left_out() -> None:
    x = np.round(SEVERITY, 1)
    x[::7] = np.nan
    found = correlate_ranks(x, ANSWERS)
    expected = spearmanr(x, ANSWERS, nan_policy="omit")
    assert found is not None
    assert found.value == pytest.approx(expected.statistic)
    assert found.rows == np.sum(~np.isnan(x))


def test_the_interval_holds_the_true_correlation_as_often_as_it_says() -> None:
    # Of two normal variables with Pearson correlation 0.5: 6 / pi * arcsin(0.5 / 2).
    truth = 6 / np.pi * np.arcsin(0.25)
    hits = 0
    for _ in range(1000):
        x, noise = generator.normal(size=(2, 60))
        found = correlate_ranks(x, 0.5 * x + np.sqrt(0.75) * noise)
        assert found is not None
        hits += found.low <= truth <= found.high
    # 0.95 and three standard errors of a share of 1,000.
    assert 0.93 <= hits / 1000 <= 0.97


def test_a_perfect_correlation_has_an_interval() -> None:
    found = correlate_ranks(np.arange(9.0), np.arange(9.0))
    assert found is not None
    assert (found.value, found.high) == (pytest.approx(1), pytest.approx(1))
    assert found.low > 0.99


@pytest.mark.parametrize(
    "x", [np.ones(200), np.full(200, np.nan), np.array([1.0, 2.0, 3.0, *[np.nan] * 197])]
)
def test_there_is_no_correlation_without_variation_or_rows(x: np.ndarray) -> None:
    assert correlate_ranks(x, ANSWERS) is None
    assert judge_association("age", "sick", Association.POSITIVE, x, ANSWERS).is_passed


@pytest.mark.parametrize(
    ("expected", "answers", "is_passed"),
    [
        (Association.POSITIVE, ANSWERS, True),
        (Association.NEGATIVE, ANSWERS, False),
        (Association.POSITIVE, 1 - ANSWERS, False),
        (Association.NEGATIVE, 1 - ANSWERS, True),
    ],
)
def test_a_direction_is_refused_where_the_data_contradict_it(
    expected: Association, answers: np.ndarray, is_passed: bool
) -> None:
    check = judge_association("severity", "sick", expected, SEVERITY, answers)
    assert check.is_passed is is_passed
    assert check.reason.startswith(f"severity: the dictionary expects a {expected} association with sick")
    assert "over 200 rows" in check.reason


def test_an_association_that_may_be_zero_contradicts_nothing() -> None:
    x = generator.normal(size=200)
    found = correlate_ranks(x, ANSWERS)
    assert found is not None
    assert found.low < 0 < found.high
    for expected in Association:
        assert judge_association("noise", "sick", expected, x, ANSWERS).is_passed
