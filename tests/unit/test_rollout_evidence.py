"""The evidence is valid: its expectation is at most one whatever member of the null is true."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mulgil.rollout.evidence import TwoArms, log_e_value
from mulgil.rollout.weighing import effective

SHARES = st.floats(0.01, 0.99)


def expected_e_value(canary_n, stable_n, truth, bet, margin):
    """Sum the e-values of every outcome, weighted by its probability."""
    binomial = np.vectorize(math.comb)
    canary, stable = (axis.astype(float) for axis in np.mgrid[0 : canary_n + 1, 0 : stable_n + 1])

    def probability(n, k, share):
        return binomial(n, k.astype(int)) * share**k * (1 - share) ** (n - k)

    counts = TwoArms(canary, np.float64(canary_n), stable, np.float64(stable_n))
    e_values = np.exp(log_e_value(counts, *(np.float64(share) for share in bet), np.float64(margin)))
    return float(
        (probability(canary_n, canary, truth[0]) * probability(stable_n, stable, truth[1]) * e_values).sum()
    )


@settings(max_examples=300, deadline=None)
@given(
    st.integers(1, 6),
    st.integers(1, 12),
    SHARES,
    st.floats(0, 1),
    SHARES,
    st.floats(0.001, 1),
    st.sampled_from([0.0, 0.001, 0.05, 0.3, -0.05, -0.3]),
)
def test_the_expected_evidence_against_a_true_null_is_at_most_one(
    canary_n, stable_n, stable, part, stable_bet, beyond, margin
):
    canary = part * min(max(stable + margin, 0.0), 1.0)
    if canary > stable + margin:
        return
    canary_bet = stable_bet + margin + beyond * (1 - stable_bet - margin)

    expected = expected_e_value(canary_n, stable_n, (canary, stable), (canary_bet, stable_bet), margin)

    assert expected <= 1 + 1e-6


def test_the_expected_evidence_against_a_false_null_is_greater_than_one():
    assert expected_e_value(6, 12, (0.6, 0.1), (0.5, 0.1), 0.05) > 2


@pytest.mark.parametrize("counts", [TwoArms(0, 0, 5, 50), TwoArms(5, 50, 0, 0), TwoArms(0, 0, 0, 0)])
def test_an_arm_without_traffic_is_no_evidence(counts):
    arrays = TwoArms(*(np.float64(count) for count in counts))

    assert log_e_value(arrays, np.float64(0.5), np.float64(0.1), np.float64(0)) == 0


def test_a_fractional_event_never_counts_more_than_the_mean_of_both_whole_ones():
    whole = [
        np.exp(log_e_value(TwoArms(*map(np.float64, (3, 5, k, 10))), *map(np.float64, (0.5, 0.2, 0.0))))
        for k in (2, 3)
    ]
    half = np.exp(log_e_value(TwoArms(*map(np.float64, (3, 5, 2.5, 10))), *map(np.float64, (0.5, 0.2, 0.0))))

    assert half <= np.mean(whole)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 8), SHARES, SHARES, st.floats(0.1, 1))
def test_requests_that_share_one_fate_are_evidence_once(canary_n, stable_n, size, share, stable_bet, beyond):
    """Clusters of alike answers: the design effect of `size` at a window of `n * size` requests."""
    canary_bet = stable_bet + beyond * (1 - stable_bet)
    expected = 0.0
    for canary in range(canary_n + 1):
        for stable in range(stable_n + 1):
            counts = TwoArms(*(np.float64(n * size) for n in (canary, canary_n, stable, stable_n)))
            # With it, the smaller arm's design effect is the clusters' size, and the other's is greater.
            correlation = (size - 1) / max(min(canary_n, stable_n) * size - 1, 1)
            e_value = np.exp(
                log_e_value(
                    effective(counts, np.float64(correlation)),
                    *map(np.float64, (canary_bet, stable_bet, 0.0)),
                )
            )
            expected += (
                math.comb(canary_n, canary)
                * share**canary
                * (1 - share) ** (canary_n - canary)
                * math.comb(stable_n, stable)
                * share**stable
                * (1 - share) ** (stable_n - stable)
                * float(e_value)
            )

    assert expected <= 1 + 1e-6
