"""A rollout as it is written down: whoever reads it can go on with it."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import Field

from mulgil.artifacts import Record
from mulgil.contract.rollout import Rollout
from mulgil.rollout.analysis import Action, Decision
from mulgil.rollout.comparisons import Preparation
from mulgil.rollout.evidence import StoredArray
from mulgil.rollout.releases import Manifest
from mulgil.rollout.weighing import Evidence


class Phase(StrEnum):
    """Where a rollout is."""

    PLACING = "placing"
    REPLAYING = "replaying"
    SHADOWING = "shadowing"
    LEARNING = "learning"
    STEPPING = "stepping"
    PAUSED = "paused"
    PROMOTING = "promoting"
    ROLLING_BACK = "rolling_back"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to be done."""
        return self in (Phase.PROMOTED, Phase.ROLLED_BACK)


class Event(Record):
    """Something that happened.

    Attributes:
        at: Seconds since the epoch.
        phase: Where the rollout then was.
        text: What, in words.
    """

    at: float
    phase: Phase
    text: str


class ReplayReport(Record):
    """What the replay showed.

    Attributes:
        source: Where the requests came from.
        requests: How many were asked of both.
        stable_failures: Requests that the stable version refused or failed.
        canary_failures: Requests that the candidate alone refused or failed.
        mean_difference: Of the candidate's predictions, less the stable version's.
        absolute_quantiles: Of the differences without their sign: half of them, nine tenths, and the
            greatest.
        distance: Greatest difference between the shares of predictions above any score.
        moved_most: Rows whose prediction moved most, with both predictions, sensitive columns left out.
    """

    source: str
    requests: int
    stable_failures: int
    canary_failures: int
    mean_difference: float
    absolute_quantiles: tuple[float, float, float]
    distance: float
    moved_most: tuple[dict[str, Any], ...] = ()


class StepRecord(Record):
    """One step as it went.

    Attributes:
        percent: The canary's.
        begun_at: Seconds since the epoch.
        ended_at: `None` while it goes on.
        canary_requests: That the canary served.
        canary_errors: How many of them failed.
        stable_requests: Likewise of the stable version's.
        stable_errors: Likewise.
        windows: How many times it was looked.
        judged: Of the predictions made in it: labelled ones of the canary's, how many of them were wrong, and
            likewise the stable version's.
        seen: Events and requests by comparison: the four rows of `TwoArms`.
        decision: The last one.
        harm_path: The evidence of harm after each window, of which every tenth is kept once there are many.
    """

    percent: int
    begun_at: float
    ended_at: float | None = None
    canary_requests: float = 0.0
    canary_errors: float = 0.0
    stable_requests: float = 0.0
    stable_errors: float = 0.0
    windows: int = 0
    judged: tuple[int, int, int, int] = (0, 0, 0, 0)
    seen: StoredArray | None = None
    decision: Decision | None = None
    harm_path: tuple[tuple[float, float], ...] = ()


class RolloutRecord(Record):
    """One rollout.

    Attributes:
        rollout_id: Its name.
        service: The InferenceService.
        namespace: Its namespace.
        driver: The platform's driver.
        source: Where its numbers come from, as `sources` opens it.
        policy: As it was when it started.
        stable: The object that brings the version before back.
        candidate: The object of the new version.
        stable_version: The model version that serves.
        candidate_version: The one that is tried.
        dataset_path: Where rows are to replay while nothing is logged.
        created_at: Seconds since the epoch.
        deadline_at: When its time is over.
        phase: Where it is.
        since: When it came there.
        restoring: How many of the objects that bring the stable version back were written and seen ready.
        is_by_hand: Whether a person decided.
        reason: Why it is over, or is about to be.
        replay: What the replay showed.
        preparation: What was learnt before the first percent.
        evidence: What the windows so far say.
        cursor: How far the source was read.
        looked_at: When a window ended last.
        steps: Those begun.
        events: What happened.
    """

    rollout_id: str
    service: str
    namespace: str
    driver: str
    source: dict[str, Any]
    policy: Rollout
    stable: Manifest
    candidate: Manifest
    stable_version: str
    candidate_version: str
    dataset_path: str | None = None
    created_at: float
    deadline_at: float
    phase: Phase = Phase.PLACING
    since: float
    restoring: int = 0
    is_by_hand: bool = False
    reason: str = ""
    replay: ReplayReport | None = None
    preparation: Preparation | None = None
    evidence: Evidence | None = None
    cursor: Any = None
    looked_at: float = 0.0
    steps: tuple[StepRecord, ...] = ()
    events: tuple[Event, ...] = Field(default_factory=tuple)

    @property
    def exposed(self) -> float:
        """Requests that the canary has served."""
        return sum(step.canary_requests for step in self.steps)

    @property
    def failed(self) -> float:
        """How many of them failed."""
        return sum(step.canary_errors for step in self.steps)

    @property
    def percent(self) -> int:
        """The canary's share that is wanted now."""
        if self.phase in (Phase.STEPPING, Phase.PAUSED) and self.steps:
            return self.steps[-1].percent
        return 100 if self.phase in (Phase.PROMOTING, Phase.PROMOTED) else 0

    def enter(self, phase: Phase, now: float, text: str, **changes: Any) -> RolloutRecord:
        """Return the rollout in another phase."""
        event = Event(at=now, phase=phase, text=text)
        return self.model_copy(
            update={"phase": phase, "since": now, "events": (*self.events, event), **changes}
        )

    def tell(self, now: float, text: str) -> RolloutRecord:
        """Return the rollout with something that goes on: it is told once."""
        return self if self.events and self.events[-1].text == text else self.note(now, text)

    def note(self, now: float, text: str) -> RolloutRecord:
        """Return the rollout with something that happened."""
        return self.model_copy(update={"events": (*self.events, Event(at=now, phase=self.phase, text=text))})


class RolloutVerdict(Record):
    """How a rollout ended.

    Attributes:
        rollout_id: Its name.
        service: The InferenceService.
        action: `PROMOTE` or `ROLL_BACK`.
        is_by_hand: Whether a person decided.
        reason: Why, in words.
        stable_version: The version before.
        candidate_version: The one that was tried.
        exposed_requests: That the candidate served to callers, those until its share was taken included.
        failed_requests: How many of them failed.
        seconds: From the start to the decision.
        replay: What the replay showed.
        steps: Each step, with what was seen and the last decision.
    """

    rollout_id: str
    service: str
    action: Action
    is_by_hand: bool
    reason: str
    stable_version: str
    candidate_version: str
    exposed_requests: int
    failed_requests: int
    seconds: float
    replay: ReplayReport | None
    steps: tuple[StepRecord, ...]


def verdict_of(rollout: RolloutRecord) -> RolloutVerdict:
    """Return the verdict of a rollout that is over, or about to be."""
    is_promoted = rollout.phase in (Phase.PROMOTING, Phase.PROMOTED)
    return RolloutVerdict(
        rollout_id=rollout.rollout_id,
        service=f"{rollout.namespace}/{rollout.service}",
        action=Action.PROMOTE if is_promoted else Action.ROLL_BACK,
        is_by_hand=rollout.is_by_hand,
        reason=rollout.reason,
        stable_version=rollout.stable_version,
        candidate_version=rollout.candidate_version,
        exposed_requests=round(rollout.exposed),
        failed_requests=round(rollout.failed),
        seconds=rollout.since - rollout.created_at,
        replay=rollout.replay,
        steps=rollout.steps,
    )
