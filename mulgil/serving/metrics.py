"""What Prometheus scrapes: requests by code, and how long they took.

A request is handled whole before the next is read, so there is nothing to count in flight; Envoy and KServe's
queue proxy, which see the connections, count that.

Source:
    https://prometheus.io/docs/instrumenting/exposition_formats (text format 0.0.4).
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"

# Seconds. A request takes tens of microseconds, a large batch some milliseconds.
_BOUNDS = (25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 100e-3, 1.0)


class Metrics:
    """Counts since the process began.

    Args:
        name: The model.
        version: Its version.
    """

    def __init__(self, name: str, version: str) -> None:
        self._labels = f'model="{name}",version="{version}"'
        self._codes: Counter[tuple[str, int]] = Counter()
        self._counts = [0] * (len(_BOUNDS) + 1)
        self._seconds = 0.0

    def observe(self, protocol: str, status: int, seconds: float) -> None:
        """Count one prediction request."""
        self._codes[protocol, status] += 1
        self._counts[bisect_left(_BOUNDS, seconds)] += 1
        self._seconds += seconds

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
        lines += [
            "# HELP mulgil_request_seconds Time from a request's last byte to its answer.",
            "# TYPE mulgil_request_seconds histogram",
        ]
        total = 0
        for bound, count in zip((*map(str, _BOUNDS), "+Inf"), self._counts, strict=True):
            total += count
            lines.append(f'mulgil_request_seconds_bucket{{{self._labels},le="{bound}"}} {total}')
        lines += [
            f"mulgil_request_seconds_sum{{{self._labels}}} {self._seconds}",
            f"mulgil_request_seconds_count{{{self._labels}}} {total}",
        ]
        return ("\n".join(lines) + "\n").encode()
