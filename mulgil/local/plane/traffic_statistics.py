"""What Envoy counted of each revision: answers by class, and how long they took.

Source:
    https://www.envoyproxy.io/docs/envoy/v1.36.0/configuration/upstream/cluster_manager/cluster_stats
    https://www.envoyproxy.io/docs/envoy/v1.36.0/configuration/http/http_filters/grpc_stats_filter
    https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto, for the class of a status.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from mulgil.artifacts import Record
from mulgil.local.plane.envoy_config import direct, mirror, over_grpc

_CLASS = re.compile(r"upstream_rq_(?P<digit>[1-5])xx")
_GRPC_STATUS = re.compile(r"grpc\.(?P<status>\d+)")
# Unknown, deadline exceeded, unimplemented, internal, unavailable, data loss; others are the client's.
_SERVERS_FAULTS = frozenset({2, 4, 12, 13, 14, 15})


class Counted(Record):
    """What was counted for one purpose since Envoy began.

    Attributes:
        answers: Answers by class, such as `2xx`; what Envoy itself had to answer because no server did is a
        `5xx`. retries: Requests that were asked again because a server was lost. latency: Answers by the
        upper bound of their bucket.

    Units:
        Bounds in milliseconds.
    """

    answers: dict[str, int]
    retries: int
    latency: tuple[tuple[float, int], ...]

    @property
    def total(self) -> int:
        """All answers."""
        return sum(self.answers.values())


class RevisionStatistics(Record):
    """What was counted of one revision.

    Attributes:
        shared: Requests that came by its share of the traffic, or by a header.
        direct: Those that asked for this very revision by its path.
        mirrored: Those that it got in the shadow of another.
    """

    shared: Counted
    direct: Counted
    mirrored: Counted


class TrafficStatistics(Record):
    """What was counted of one service.

    Attributes:
        epoch: Of the Envoy that counted; another one began at 0.
        revisions: By name.
    """

    epoch: str
    revisions: dict[str, RevisionStatistics]


def read_statistics(answer: dict[str, Any], backends: dict[str, str], epoch: str) -> TrafficStatistics:
    """Read what Envoy tells.

    Args:
        answer: Of `/stats?format=json&histogram_buckets=disjoint`.
        backends: Clusters by revision.
        epoch: Of the Envoy that was asked.
    """
    values = {stat["name"]: stat["value"] for stat in answer["stats"] if "value" in stat}
    histograms = {
        histogram["name"]: histogram["buckets"]
        for stat in answer["stats"]
        for histogram in _listed(stat.get("histograms", []))
    }
    return TrafficStatistics(
        epoch=epoch,
        revisions={
            revision: RevisionStatistics(
                shared=_count(backend, values, histograms),
                direct=_count(direct(backend), values, histograms),
                mirrored=_count(mirror(backend), values, histograms),
            )
            for revision, backend in backends.items()
        },
    )


def _listed(histograms: Any) -> list[dict[str, Any]]:
    # Without a histogram that was used Envoy writes an object with the quantiles that it supports.
    return histograms if isinstance(histograms, list) else []


def _count(cluster: str, values: dict[str, int], histograms: dict[str, Any]) -> Counted:
    """Count what came over HTTP and over gRPC."""
    prefixes = f"cluster.{cluster}.", f"cluster.{over_grpc(cluster)}."
    answers: Counter[str] = Counter()
    latency: Counter[float] = Counter()
    for prefix in prefixes:
        counts = {n.removeprefix(prefix): value for n, value in values.items() if n.startswith(prefix)}
        # Copies pass no filter: of them HTTP's class is all that is known.
        has_statuses = any(map(_grpc_class, counts))
        for name, value in counts.items():
            if answer := _grpc_class(name) if has_statuses else _http_class(name):
                answers[answer] += value
        for bucket in histograms.get(f"{prefix}upstream_rq_time", []):
            latency[bucket["upper_bound"]] += bucket["cumulative"]
    return Counted(
        answers=dict(answers),
        retries=sum(values.get(f"{prefix}upstream_rq_retry", 0) for prefix in prefixes),
        latency=tuple(sorted(latency.items())),
    )


def _http_class(name: str) -> str | None:
    match = _CLASS.fullmatch(name)
    return f"{match['digit']}xx" if match else None


def _grpc_class(name: str) -> str | None:
    match = _GRPC_STATUS.fullmatch(name)
    if match is None:
        return None
    status = int(match["status"])
    return "2xx" if status == 0 else "5xx" if status in _SERVERS_FAULTS else "4xx"
