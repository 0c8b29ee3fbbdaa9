"""What both arms served in a window, as a source of metrics tells it, and its counts for the comparisons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mulgil.contract.rollout import RolloutMetric
from mulgil.rollout.comparisons import Preparation, compared
from mulgil.rollout.evidence import Array, TwoArms
from mulgil.rollout.weighing import Window

# So many values tell a histogram's spread more finely than its buckets do.
_SPREAD = 2000


class Latencies(Protocol):
    """How long requests took."""

    def count(self) -> float:
        """Return how many there are."""

    def above(self, thresholds: Array) -> Array:
        """Return how many took longer than each threshold, in seconds; it may be a fraction."""

    def values(self) -> Array:
        """Return them, or as many as tell how they are spread."""


@dataclass(frozen=True)
class LatencySamples:
    """Every request's latency.

    Units:
        Seconds.
    """

    seconds: Array

    def count(self) -> float:
        """Return how many there are."""
        return float(len(self.seconds))

    def above(self, thresholds: Array) -> Array:
        """Return how many took longer than each threshold."""
        counts: Array = (self.seconds[:, None] > thresholds).sum(axis=0).astype(np.float64)
        return counts

    def values(self) -> Array:
        """Return them."""
        return self.seconds


@dataclass(frozen=True)
class LatencyHistogram:
    """Latencies counted in buckets, as Prometheus and Envoy do.

    Attributes:
        bounds: Upper bounds, ascending; the last may be infinite.
        cumulative: Requests that took at most that long.

    Units:
        Seconds.
    """

    bounds: Array
    cumulative: Array

    def count(self) -> float:
        """Return how many there are."""
        return float(self.cumulative[-1]) if len(self.cumulative) else 0.0

    def above(self, thresholds: Array) -> Array:
        """Return how many took longer than each threshold; within a bucket they are spread evenly.

        Source:
            As Prometheus's `histogram_quantile` does, the other way round. Beyond the last finite bound there
            is nothing to tell by.
        """
        finite = np.isfinite(self.bounds)
        bounds = np.concatenate([[0.0], self.bounds[finite]])
        cumulative = np.concatenate([[0.0], self.cumulative[finite]])
        above: Array = self.count() - np.interp(thresholds, bounds, cumulative)
        return above

    def values(self) -> Array:
        """Return as many as tell how they are spread: evenly within each bucket."""
        finite = np.isfinite(self.bounds)
        bounds = np.concatenate([[0.0], self.bounds[finite]])
        cumulative = np.concatenate([[0.0], self.cumulative[finite]])
        many = int(min(max(self.count(), 1), _SPREAD))
        ranks = (np.arange(many) + 0.5) / many * self.count()
        values: Array = np.interp(ranks, cumulative, bounds)
        return values


@dataclass(frozen=True)
class ArmTraffic:
    """What one version served.

    Attributes:
        requests: How many.
        errors: How many of them the server failed (5xx, or no answer).
        latencies: `None` where they are not measured.
        scores: Predictions; `None` where they are not measured.
        labelled: Predictions for which the truth has come.
        wrong: How many of them were wrong.
    """

    requests: float = 0.0
    errors: float = 0.0
    latencies: Latencies | None = None
    scores: Array | None = None
    labelled: float = 0.0
    wrong: float = 0.0


@dataclass(frozen=True)
class Traffic:
    """What both served in the same window."""

    canary: ArmTraffic
    stable: ArmTraffic


def count_events(traffic: Traffic, prepared: Preparation) -> Window:
    """Count a window's events for each comparison, in the order of `compare`."""
    columns: list[tuple[Array, float, Array, float, Array]] = []
    canary, stable = traffic.canary, traffic.stable
    for metric in compared(prepared):
        match metric:
            case RolloutMetric.ERROR_RATE:
                errors = np.array([canary.errors])
                columns.append((errors, canary.requests, np.array([stable.errors]), stable.requests, errors))
            case RolloutMetric.ACCURACY:
                wrong = np.array([canary.wrong])
                columns.append((wrong, canary.labelled, np.array([stable.wrong]), stable.labelled, wrong))
            case RolloutMetric.LATENCY:
                columns.append(_slow(traffic, prepared))
            case RolloutMetric.PREDICTIONS:
                columns.append(_high(traffic, prepared))
    events, safe = (np.concatenate([column[i] for column in columns]) for i in (0, 4))
    stable_events = np.concatenate([column[2] for column in columns])
    requests, stable_requests = (
        np.concatenate([np.full(len(column[0]), column[i]) for column in columns]) for i in (1, 3)
    )
    return Window(
        harm=TwoArms(events, requests, stable_events, stable_requests),
        safety=TwoArms(safe, requests, stable_events, stable_requests),
    )


def _slow(traffic: Traffic, prepared: Preparation) -> tuple[Array, float, Array, float, Array]:
    cut = prepared.latency
    assert cut is not None
    nothing = LatencySamples(np.zeros(0))
    canary, stable = (arm.latencies or nothing for arm in (traffic.canary, traffic.stable))
    return (
        canary.above(cut.stable * cut.harm_ratio),
        canary.count(),
        stable.above(cut.stable),
        stable.count(),
        canary.above(cut.stable * cut.safe_ratio),
    )


def _high(traffic: Traffic, prepared: Preparation) -> tuple[Array, float, Array, float, Array]:
    shift = prepared.shift
    assert shift is not None
    nothing = np.zeros(0)
    canary, stable = (
        nothing if arm.scores is None else arm.scores for arm in (traffic.canary, traffic.stable)
    )
    above = (canary[:, None] > shift.edges).sum(axis=0).astype(np.float64)
    expected = shift.above[np.searchsorted(shift.classes, stable)].sum(axis=0)
    events = np.concatenate([above, len(canary) - above])
    return (
        events,
        float(len(canary)),
        np.concatenate([expected, len(stable) - expected]),
        float(len(stable)),
        events,
    )
