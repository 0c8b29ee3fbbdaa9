"""The local serving plane: what its Envoy counted of each revision, and what its servers say they predicted.

Counters only grow while the Envoy, or a server, lives. A cursor holds their values; where another one counts
now, it began at 0. Envoy's latencies are whole milliseconds. Predictions are compared only where each version
has one server, for a page tells of one.
"""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np

from mulgil.contract.rollout import RolloutMetric
from mulgil.errors import TemporaryError, describe
from mulgil.local.plane.client import ServingPlane
from mulgil.local.plane.traffic_statistics import Counted
from mulgil.rollout.evidence import Array
from mulgil.rollout.sources import Arms
from mulgil.rollout.sources.exposition import parse_samples
from mulgil.rollout.traffic import ArmTraffic, LatencyHistogram, Traffic

_PREDICTIONS = "mulgil_predictions_bucket"
_ANSWER_SECONDS = 5.0

Counters = dict[str, float]


class PlaneVersions:
    """Which revision serves which model version, and where it answers alone.

    Args:
        plane: The serving plane.
    """

    def __init__(self, plane: ServingPlane) -> None:
        self._plane = plane
        self._client = httpx.Client(timeout=_ANSWER_SECONDS)
        self._known: dict[str, str] = {}

    def urls(self, service: str, namespace: str) -> dict[str, tuple[str, str]]:
        """Return revision and address by model version; of several revisions the newest."""
        found = {}
        for revision, url in sorted(self._plane.revision_urls(service, namespace).items()):
            if revision not in self._known:
                self._known[revision] = self._version_of(service, url)
            found[self._known[revision]] = (revision, url)
        return found

    def page(self, url: str) -> str:
        """Return the page `/metrics` of one of a revision's servers."""
        return self._ask(f"{url}/metrics").text

    def _version_of(self, service: str, url: str) -> str:
        """Ask a revision by V2's metadata."""
        try:
            (version,) = self._ask(f"{url}/v2/models/{service}").json()["versions"]
        except (ValueError, KeyError) as exc:
            raise TemporaryError(
                describe(f"{url} does not say which version it is", received=str(exc))
            ) from exc
        return str(version)

    def _ask(self, url: str) -> httpx.Response:
        try:
            return self._client.get(url).raise_for_status()
        except httpx.HTTPError as exc:
            raise TemporaryError(describe(f"{url} does not answer", received=str(exc))) from exc


class PlaneSource:
    """Counts by model version.

    Args:
        plane: The serving plane; that of Mulgil's home where it is not given.
    """

    measures = frozenset({RolloutMetric.ERROR_RATE, RolloutMetric.LATENCY, RolloutMetric.PREDICTIONS})

    def __init__(self, plane: ServingPlane | None = None) -> None:
        self._plane = plane or ServingPlane()
        self._versions = PlaneVersions(self._plane)

    def score_bounds(self, arms: Arms) -> Array | None:
        """Return the bounds in which the stable version's one server counts its predictions.

        There are none where a prediction is several numbers: they are counted apart, and the replay knows the
        greatest of them.
        """
        if not self._has_one_server(arms):
            return np.zeros(0)
        _, url = self._versions.urls(arms.service, arms.namespace)[arms.stable]
        samples = [s for s in parse_samples(self._versions.page(url)) if s.name == _PREDICTIONS]
        if len({sample.labels.get("output") for sample in samples}) > 1:
            return np.zeros(0)
        bounds = {_bound(sample.labels["le"]) for sample in samples}
        return np.array(sorted(bound for bound in bounds if np.isfinite(bound)))

    def open(self, arms: Arms, now: float) -> dict[str, Any]:
        """Return the counters as they are."""
        del now
        statistics = self._plane.read_traffic_statistics(arms.service, arms.namespace)
        urls = self._versions.urls(arms.service, arms.namespace)
        has_pages = self._has_one_server(arms)
        cursor: dict[str, Any] = {"epoch": statistics.epoch}
        for arm, version in (("canary", arms.canary), ("stable", arms.stable)):
            revision, url = urls.get(version, ("", ""))
            counted = statistics.revisions.get(revision)
            cursor[arm] = {
                **(_count(counted.shared) if counted else {}),
                **(_scores_of(self._versions.page(url)) if url and has_pages else {}),
            }
        return cursor

    def read(self, arms: Arms, cursor: Any, now: float) -> tuple[Traffic, dict[str, Any]]:
        """Return what was counted since."""
        counters = self.open(arms, now)
        is_same = cursor["epoch"] == counters["epoch"]
        grown = {
            arm: _grown(cursor[arm], counters[arm], is_same_envoy=is_same) for arm in ("canary", "stable")
        }
        return Traffic(canary=_arm(grown["canary"]), stable=_arm(grown["stable"])), counters

    def read_before(self, arms: Arms, seconds: float, now: float) -> Traffic:
        """Return what was counted since Envoy and the servers began, which is all that is known."""
        del seconds
        if not self._plane.is_up:
            # Where nothing runs, nothing was counted.
            return Traffic(ArmTraffic(), ArmTraffic())
        counters = self.open(arms, now)
        return Traffic(canary=_arm(counters["canary"]), stable=_arm(counters["stable"]))

    def _has_one_server(self, arms: Arms) -> bool:
        predictor = self._plane.get(arms.service, arms.namespace)["spec"]["predictor"]
        return int(predictor.get("minReplicas", 1)) == 1

    def read_mirrored(self, arms: Arms, since: float, now: float) -> ArmTraffic:
        """Return what the candidate got in the shadow of the stable version."""
        del since, now
        revision, _ = self._versions.urls(arms.service, arms.namespace).get(arms.canary, ("", ""))
        counted = self._plane.read_traffic_statistics(arms.service, arms.namespace).revisions.get(revision)
        return _arm(_count(counted.mirrored)) if counted else ArmTraffic()


def _count(counted: Counted) -> Counters:
    codes = {f"code:{code}": float(value) for code, value in counted.answers.items()}
    return codes | {f"time:{bound}": float(value) for bound, value in counted.latency}


def _scores_of(page: str) -> Counters:
    samples = (sample for sample in parse_samples(page) if sample.name == _PREDICTIONS)
    return {f"score:{_bound(sample.labels['le'])}": sample.value for sample in samples}


def _bound(text: str) -> float:
    return float(text.replace("Inf", "inf"))


def _grown(before: Counters, now: Counters, *, is_same_envoy: bool) -> Counters:
    grown = {}
    for name, value in now.items():
        was = before.get(name, 0.0) if is_same_envoy or name.startswith("score:") else 0.0
        grown[name] = value - was if value >= was else value
    return grown


def _arm(counters: Counters) -> ArmTraffic:
    codes = {name.removeprefix("code:"): n for name, n in counters.items() if name.startswith("code:")}
    # Envoy counts each answer in one bucket, the model server in every one that it is below.
    bounds, counts = _histogram(counters, "time:")
    score_bounds, score_counts = _histogram(counters, "score:")
    return ArmTraffic(
        requests=sum(codes.values()),
        errors=codes.get("5xx", 0.0),
        latencies=LatencyHistogram(bounds / 1000, np.cumsum(counts)) if len(bounds) else None,
        scores=_scores(score_bounds, score_counts) if len(score_bounds) else None,
    )


def _histogram(counters: Counters, kind: str) -> tuple[Array, Array]:
    rows = sorted(
        (float(name.removeprefix(kind)), n) for name, n in counters.items() if name.startswith(kind)
    )
    return np.array([row[0] for row in rows]), np.array([row[1] for row in rows])


def _scores(bounds: Array, cumulative: Array) -> Array:
    """Return for each prediction the upper bound of its bucket, which is in it."""
    counts = np.diff(np.concatenate([[0.0], cumulative])).round().astype(int).clip(0)
    finite = bounds[np.isfinite(bounds)]
    if not len(finite):
        return np.zeros(0)
    places = np.append(finite, finite[-1] + 1.0)[: len(counts)]
    return np.repeat(places, counts)
