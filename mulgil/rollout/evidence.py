"""How strongly two arms of the same traffic differ: evidence that stays valid however often it is looked at.

Every question of a rollout is brought to one form: out of the canary's requests and out of the stable
version's in the same window, how many had an event (failed, took longer than a threshold, were scored above
an edge)? Of each window an e-value is made, and over windows they multiply. Under the null hypothesis the
product exceeds `1 / level` ever, at any look, with a probability of at most `level` (Ville's inequality).

A window is a block of its own: both arms' rates may be whatever they like in it, another in every window, as
long as their difference keeps to the null. So a bad hour that hits both arms is no evidence, and traffic may
be autocorrelated from window to window as it likes.

Source:
    Turner, Ly, Grünwald, "Generic E-variables for exact sequential k-sample tests that allow for optional
    stopping", Journal of Statistical Planning and Inference 230 (2024), theorem 1; Turner, Grünwald, "Exact
    anytime-valid confidence intervals for contingency tables and beyond", Statistics & Probability Letters
    198 (2023), for nulls with a difference. Ville, "Étude critique de la notion de collectif" (1939).
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import PlainSerializer, PlainValidator

Array = npt.NDArray[np.float64]


def _as_array(value: Any) -> Array:
    return np.asarray(value, dtype=np.float64)


# An array as a field of a record: nested lists in the file.
StoredArray = Annotated[Array, PlainValidator(_as_array), PlainSerializer(lambda array: array.tolist())]

# A share is kept this far from 0 and 1: a bet on the impossible would lose everything at once.
_EDGE = 1e-6
# Halvings of an interval shorter than one: what is left is far below the edge.
_HALVINGS = 26


class TwoArms(NamedTuple):
    """Events out of requests in both arms of one window.

    Shapes:
        All alike, or broadcast against each other. Counts may be fractions: an event that happened by a
        share, as the expected answer of another model, bets the geometric mean, which is below the arithmetic
        one.
    """

    canary_events: Array
    canary_requests: Array
    stable_events: Array
    stable_requests: Array

    @property
    def complement(self) -> TwoArms:
        """The requests without the event."""
        return TwoArms(
            self.canary_requests - self.canary_events,
            self.canary_requests,
            self.stable_requests - self.stable_events,
            self.stable_requests,
        )


def log_e_value(counts: TwoArms, canary_share: Array, stable_share: Array, margin: Array) -> Array:
    """Weigh a window against the null: the canary's share of events is at most the stable's plus `margin`.

    It bets on one alternative. Its likelihood is divided by that of the nearest member of the null, in the
    sense of the Kullback–Leibler divergence weighted by the arms' requests. The null is convex, hence the
    ratio's expectation is at most one under every member: for shares on the null, the arms' expected ratios
    have a weighted arithmetic mean of at most one, and their product over the requests is the geometric mean
    to a power.

    Args:
        counts: The window's.
        canary_share: The alternative's share of events in the canary; chosen before the window was seen, and
            greater than `stable_share + margin`.
        stable_share: Likewise in the stable version.
        margin: Between -1 and 1.

    Returns:
        The logarithm of the e-value; 0 where an arm had no request.
    """
    canary = np.clip(canary_share, _EDGE, 1 - _EDGE)
    stable = np.clip(stable_share, _EDGE, 1 - _EDGE)
    null = np.clip(_nearest_null(counts, canary, stable, margin), _EDGE, 1 - _EDGE)
    null_canary = np.clip(null + margin, _EDGE, 1 - _EDGE)
    log_ratio = (
        counts.canary_events * np.log(canary / null_canary)
        + (counts.canary_requests - counts.canary_events) * np.log((1 - canary) / (1 - null_canary))
        + counts.stable_events * np.log(stable / null)
        + (counts.stable_requests - counts.stable_events) * np.log((1 - stable) / (1 - null))
    )
    is_told = (counts.canary_requests > 0) & (counts.stable_requests > 0) & (canary > stable + margin)
    return np.where(is_told, log_ratio, 0.0)


def _nearest_null(counts: TwoArms, canary: Array, stable: Array, margin: Array) -> Array:
    """The stable's share of the null's member that is nearest to the alternative."""
    requests = np.maximum(counts.canary_requests + counts.stable_requests, 1)
    if not np.any(margin):
        average: Array = (counts.canary_requests * canary + counts.stable_requests * stable) / requests
        return average
    # On the border of the null, between both arms' own shares, the divergence has one least point.
    low = np.maximum(stable, np.maximum(-margin, 0) + _EDGE)
    high = np.maximum(np.minimum(canary - margin, np.minimum(1 - margin, 1) - _EDGE), low)
    shape = np.broadcast_shapes(low.shape, high.shape, requests.shape)
    low, high = (np.broadcast_to(side, shape).copy() for side in (low, high))
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        shifted = np.clip(middle + margin, _EDGE, 1 - _EDGE)
        slope = counts.canary_requests * (shifted - canary) / (
            shifted * (1 - shifted)
        ) + counts.stable_requests * (middle - stable) / (middle * (1 - middle))
        np.copyto(high, middle, where=slope > 0)
        np.copyto(low, middle, where=slope <= 0)
    return (low + high) / 2


def logit(share: Array) -> Array:
    """Return the log-odds of a share."""
    kept = np.clip(share, _EDGE, 1 - _EDGE)
    odds: Array = np.log(kept / (1 - kept))
    return odds


def expit(log_odds: Array) -> Array:
    """Return the share of log-odds."""
    share: Array = 1 / (1 + np.exp(-log_odds))
    return share


def log_mean_exp(values: Array, log_weights: Array, axis: int | tuple[int, ...]) -> Array:
    """Return the logarithm of a weighted mean of e-values given by their logarithms."""
    summed = values + log_weights
    greatest = np.max(summed, axis=axis, keepdims=True)
    total = np.log(np.sum(np.exp(summed - greatest), axis=axis)) + np.squeeze(greatest, axis=axis)
    return np.asarray(total)
