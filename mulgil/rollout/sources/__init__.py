"""Where the numbers of a rollout come from, behind one protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from mulgil.contract.rollout import RolloutMetric
from mulgil.rollout.evidence import Array
from mulgil.rollout.traffic import ArmTraffic, Traffic


@dataclass(frozen=True)
class Arms:
    """Which two versions are compared.

    Attributes:
        service: The InferenceService's name.
        namespace: Its namespace.
        stable: The stable model version.
        canary: The candidate's.
    """

    service: str
    namespace: str
    stable: str
    canary: str


class MetricSource(Protocol):
    """A place that knows what both versions served.

    A cursor is a JSON value that says how far was read. It is stored with the rollout, so that a window is
    neither left out nor counted twice when the process that watches is another one.
    """

    measures: frozenset[RolloutMetric]

    def score_bounds(self, arms: Arms) -> Array | None:
        """Return the bounds of the buckets in which predictions are counted; `None` where each is known."""

    def open(self, arms: Arms, now: float) -> Any:
        """Return the cursor from which on `now` is read."""

    def read(self, arms: Arms, cursor: Any, now: float) -> tuple[Traffic, Any]:
        """Return what both served since the cursor, and the next cursor.

        Raises:
            TemporaryError: The place does not answer; the cursor is still good.
        """

    def read_mirrored(self, arms: Arms, since: float, now: float) -> ArmTraffic:
        """Return what the candidate got in the shadow of the stable version."""

    def read_before(self, arms: Arms, seconds: float, now: float) -> Traffic:
        """Return what both served in the last seconds, as far as it is known."""
