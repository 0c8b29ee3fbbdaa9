"""Prometheus: what it has scraped from the model servers' `/metrics` pages.

Source:
    https://prometheus.io/docs/prometheus/latest/querying/api (instant queries), and
    https://prometheus.io/docs/prometheus/latest/querying/functions (`increase`).
"""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np

from mulgil.contract.rollout import RolloutMetric
from mulgil.errors import TemporaryError, describe
from mulgil.rollout.evidence import Array
from mulgil.rollout.sources import Arms
from mulgil.rollout.traffic import ArmTraffic, LatencyHistogram, Traffic

_QUERY_SECONDS = 10.0
# A window shorter than two scrapes has no increase. 15 s is a common interval; the default's is a minute.
_SCRAPE_SECONDS = 15.0
_REQUESTS, _LATENCY = "mulgil_requests_total", "mulgil_request_seconds_bucket"


class PrometheusSource:
    """Counts by model version, from a Prometheus server.

    Args:
        url: Its base address.
        scrape_seconds: How often it scrapes; windows end so long before now, so that they are whole.
        client: For the connections; one of its own where it is not given.
    """

    measures = frozenset({RolloutMetric.ERROR_RATE, RolloutMetric.LATENCY})

    def __init__(
        self, url: str, scrape_seconds: float = _SCRAPE_SECONDS, client: httpx.Client | None = None
    ) -> None:
        self._url = url.rstrip("/")
        self._scrape_seconds = scrape_seconds
        self._client = client or httpx.Client()

    def score_bounds(self, arms: Arms) -> Array | None:
        """Return nothing: predictions are not compared."""
        del arms
        return None

    def open(self, arms: Arms, now: float) -> float:
        """Return the time from which on is counted: when both shares have been scraped once."""
        del arms
        return now

    def read(self, arms: Arms, cursor: Any, now: float) -> tuple[Traffic, float]:
        """Return the increase from the cursor to the last scrape that is surely in."""
        start, end = float(cursor), now - self._scrape_seconds
        if end - start < 2 * self._scrape_seconds:
            return Traffic(ArmTraffic(), ArmTraffic()), start
        return self._count(arms, start, end), end

    def read_before(self, arms: Arms, seconds: float, now: float) -> Traffic:
        """Return the increase in the last seconds."""
        return self._count(arms, now - max(seconds, 2 * self._scrape_seconds), now)

    def read_mirrored(self, arms: Arms, since: float, now: float) -> ArmTraffic:
        """Return the increase: before the first percent, a candidate gets nothing but copies."""
        return self._arm(arms, arms.canary, since, now)

    def _count(self, arms: Arms, start: float, end: float) -> Traffic:
        return Traffic(
            canary=self._arm(arms, arms.canary, start, end), stable=self._arm(arms, arms.stable, start, end)
        )

    def _arm(self, arms: Arms, version: str, start: float, end: float) -> ArmTraffic:
        chosen = f'model="{_quote(arms.service)}",version="{_quote(version)}"'
        window = f"[{round(end - start)}s]"
        by_code = self._ask(f"sum by (code) (increase({_REQUESTS}{{{chosen}}}{window}))", end)
        counts = {labels.get("code", ""): value for labels, value in by_code}
        buckets = self._ask(f"sum by (le) (increase({_LATENCY}{{{chosen}}}{window}))", end)
        by_bound = sorted((float(labels["le"].replace("+Inf", "inf")), value) for labels, value in buckets)
        bounds, cumulative = (np.array([row[i] for row in by_bound], dtype=np.float64) for i in (0, 1))
        # An interpolated increase may have its buckets out of order by a hair.
        latencies = LatencyHistogram(bounds, np.maximum.accumulate(cumulative)) if by_bound else None
        return ArmTraffic(
            requests=sum(counts.values()),
            errors=sum(count for code, count in counts.items() if code.startswith("5")),
            latencies=latencies,
        )

    def _ask(self, query: str, at: float) -> list[tuple[dict[str, str], float]]:
        """Ask an instant query; a vector of labels and values.

        Raises:
            TemporaryError: It does not answer, or not with a vector.
        """
        try:
            answer = self._client.get(
                f"{self._url}/api/v1/query", params={"query": query, "time": at}, timeout=_QUERY_SECONDS
            )
            content = answer.json()
            if content["status"] != "success":
                raise TemporaryError(
                    describe("Prometheus refuses a query", received=f"{content.get('error')}: {query}")
                )
            return [(row["metric"], float(row["value"][1])) for row in content["data"]["result"]]
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as exc:
            raise TemporaryError(
                describe(
                    f"Prometheus does not answer at {self._url}",
                    expected="a vector from /api/v1/query",
                    received=str(exc),
                    next_step="check the address of the source",
                )
            ) from exc


def _quote(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
