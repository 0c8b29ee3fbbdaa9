"""What an Envoy in front counted, and what the model servers behind it say of their predictions.

Counters only grow while a process lives. A cursor holds their values; a counter that is less than it was
began anew. Envoy's latencies are whole milliseconds, from the request's last byte to the answer's.

Source:
    https://www.envoyproxy.io/docs/envoy/v1.36.0/configuration/upstream/cluster_manager/cluster_stats:
    `upstream_rq_xx` and `upstream_rq_time`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import numpy as np

from mulgil.contract.rollout import RolloutMetric
from mulgil.rollout.evidence import Array
from mulgil.rollout.sources import Arms
from mulgil.rollout.sources.exposition import parse_samples
from mulgil.rollout.traffic import ArmTraffic, LatencyHistogram, Traffic

_CODES, _TIMES = "envoy_cluster_upstream_rq_xx", "envoy_cluster_upstream_rq_time_bucket"
_PREDICTIONS = "mulgil_predictions_bucket"

Counters = dict[str, float]


class Proxy(Protocol):
    """An Envoy and the servers behind it."""

    def statistics(self) -> str:
        """Return its page `/stats/prometheus`.

        Raises:
            TemporaryError: It does not answer.
        """

    def cluster_of(self, service: str, namespace: str, version: str) -> str | None:
        """Return the name of the cluster that serves a version's share; `None` where there is none yet."""

    def server_pages(self, service: str, namespace: str, version: str) -> Iterable[tuple[str, str]]:
        """Return the page `/metrics` of each server of a version, by the server's name."""


class EnvoySource:
    """Counts by model version.

    Args:
        proxy: The Envoy.
    """

    measures = frozenset({RolloutMetric.ERROR_RATE, RolloutMetric.LATENCY, RolloutMetric.PREDICTIONS})

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    def score_bounds(self, arms: Arms) -> Array | None:
        """Return the bounds in which the stable version's servers count their predictions."""
        pages = self._proxy.server_pages(arms.service, arms.namespace, arms.stable)
        bounds = {
            float(sample.labels["le"].replace("Inf", "inf"))
            for _, page in pages
            for sample in parse_samples(page)
            if sample.name == _PREDICTIONS
        }
        return np.array(sorted(bound for bound in bounds if np.isfinite(bound)))

    def open(self, arms: Arms, now: float) -> dict[str, Counters]:
        """Return the counters as they are."""
        del now
        statistics = self._proxy.statistics()
        return {
            "canary": self._counters(arms, arms.canary, statistics),
            "stable": self._counters(arms, arms.stable, statistics),
        }

    def read(self, arms: Arms, cursor: Any, now: float) -> tuple[Traffic, dict[str, Counters]]:
        """Return what was counted since."""
        counters = self.open(arms, now)
        grown = {arm: _grown(cursor[arm], values) for arm, values in counters.items()}
        return Traffic(canary=_arm(grown["canary"]), stable=_arm(grown["stable"])), counters

    def read_before(self, arms: Arms, seconds: float, now: float) -> Traffic:
        """Return what was counted since the version's servers came: how long ago that is, is not known."""
        del seconds
        counters = self.open(arms, now)
        return Traffic(canary=_arm(counters["canary"]), stable=_arm(counters["stable"]))

    def _counters(self, arms: Arms, version: str, statistics: str) -> Counters:
        cluster = self._proxy.cluster_of(arms.service, arms.namespace, version)
        counters: Counters = {}
        for name, labels, value in parse_samples(statistics):
            if labels.get("envoy_cluster_name") != cluster:
                continue
            if name == _CODES:
                counters[f"code:{labels['envoy_response_code_class']}"] = value
            elif name == _TIMES:
                counters[f"time:{labels['le']}"] = value
        for server, page in self._proxy.server_pages(arms.service, arms.namespace, version):
            for name, labels, value in parse_samples(page):
                if name == _PREDICTIONS:
                    counters[f"score:{labels['le']}:{server}"] = value
        return counters


def _grown(before: Mapping[str, float], now: Counters) -> Counters:
    return {
        name: value - before.get(name, 0.0) if value >= before.get(name, 0.0) else value
        for name, value in now.items()
    }


def _arm(counters: Counters) -> ArmTraffic:
    codes = {key.removeprefix("code:"): value for key, value in counters.items() if key.startswith("code:")}
    bounds, cumulative = _histogram(counters, "time:")
    score_bounds, score_counts = _histogram(counters, "score:")
    return ArmTraffic(
        requests=sum(codes.values()),
        errors=codes.get("5", 0.0),
        latencies=LatencyHistogram(bounds / 1000, cumulative) if len(bounds) else None,
        scores=_scores(score_bounds, score_counts) if len(score_bounds) else None,
    )


def _histogram(counters: Counters, kind: str) -> tuple[Array, Array]:
    summed: dict[float, float] = {}
    for key, value in counters.items():
        if key.startswith(kind):
            bound = float(key.split(":")[1].replace("Inf", "inf"))
            summed[bound] = summed.get(bound, 0.0) + value
    rows = sorted(summed.items())
    return np.array([row[0] for row in rows]), np.array([row[1] for row in rows])


def _scores(bounds: Array, cumulative: Array) -> Array:
    """Return a value of each bucket for every prediction in it: its own upper bound, which is in it."""
    counts = np.diff(np.concatenate([[0.0], cumulative])).round().astype(int).clip(0)
    finite = bounds[np.isfinite(bounds)]
    places = np.append(finite, finite[-1] + 1.0)[: len(counts)]
    return np.repeat(places, counts)
