"""What Prometheus scrapes: requests by code, how long they took, and how long the online store did.

A request is handled whole before the next is read, so there is nothing to count in flight; Envoy and KServe's
queue proxy, which see the connections, count that.

Source:
    https://prometheus.io/docs/instrumenting/exposition_formats (text format 0.0.4).
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from typing import Protocol

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"

# Seconds. A request takes tens of microseconds, a large batch some milliseconds.
_BOUNDS = (25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 100e-3, 1.0)


class Histogram:
    """Times, counted by length.

    Args:
        name: Of the metric.
        help_text: What it is.
    """

    def __init__(self, name: str, help_text: str) -> None:
        self._name = name
        self._help = help_text
        self._counts = [0] * (len(_BOUNDS) + 1)
        self._seconds = 0.0

    def observe(self, seconds: float) -> None:
        """Count one."""
        self._counts[bisect_left(_BOUNDS, seconds)] += 1
        self._seconds += seconds

    def render(self, labels: str) -> list[str]:
        """Write the lines."""
        lines = [f"# HELP {self._name} {self._help}", f"# TYPE {self._name} histogram"]
        total = 0
        for bound, count in zip((*map(str, _BOUNDS), "+Inf"), self._counts, strict=True):
            total += count
            lines.append(f'{self._name}_bucket{{{labels},le="{bound}"}} {total}')
        lines.append(f"{self._name}_sum{{{labels}}} {self._seconds}")
        lines.append(f"{self._name}_count{{{labels}}} {total}")
        return lines


class Metrics:
    """Counts since the process began.

    Args:
        name: The model.
        version: Its version.
    """

    def __init__(self, name: str, version: str) -> None:
        self._labels = f'model="{name}",version="{version}"'
        self._codes: Counter[tuple[str, int]] = Counter()
        self._requests = Histogram("mulgil_request_seconds", "Time from a request's last byte to its answer.")
        self._lookups = Histogram("mulgil_online_store_seconds", "Time to read a request's entities.")

    def observe(self, protocol: str, status: int, seconds: float) -> None:
        """Count one prediction request."""
        self._codes[protocol, status] += 1
        self._requests.observe(seconds)

    def observe_lookup(self, seconds: float) -> None:
        """Count one read of the online store."""
        self._lookups.observe(seconds)

    def render(self) -> bytes:
        """Write the page."""
        lines = [
            "# HELP mulgil_requests_total Prediction requests by protocol and status code.",
            "# TYPE mulgil_requests_total counter",
        ]
        for (protocol, status), count in sorted(self._codes.items()):
            lines.append(
                f'mulgil_requests_total{{{self._labels},protocol="{protocol}",code="{status}"}} {count}'
            )
        lines += [*self._requests.render(self._labels), *self._lookups.render(self._labels)]
        return ("\n".join(lines) + "\n").encode()


class LogCounts(Protocol):
    """What a prediction log counts."""

    @property
    def sent(self) -> int:
        """Records that the collector acknowledged."""

    @property
    def dropped(self) -> int:
        """Records that are lost."""

    @property
    def buffered(self) -> int:
        """Records that wait."""


def render_log(name: str, version: str, log: LogCounts) -> bytes:
    """Write the page's part about the prediction log.

    Args:
        name: The model.
        version: Its version.
        log: The counts.
    """
    labels = f'model="{name}",version="{version}"'
    lines = [
        "# HELP mulgil_prediction_log_records_total Recorded predictions: taken by the collector, or lost.",
        "# TYPE mulgil_prediction_log_records_total counter",
        f'mulgil_prediction_log_records_total{{{labels},outcome="sent"}} {log.sent}',
        f'mulgil_prediction_log_records_total{{{labels},outcome="dropped"}} {log.dropped}',
        "# HELP mulgil_prediction_log_buffered Predictions that wait to be sent to the collector.",
        "# TYPE mulgil_prediction_log_buffered gauge",
        f"mulgil_prediction_log_buffered{{{labels}}} {log.buffered}",
    ]
    return ("\n".join(lines) + "\n").encode()
