"""What happens to a service's revisions: pure decisions from what is wanted and what was seen.

A revision is one server process made from one `spec.predictor`. It is begun, and begun again whenever it
dies; once it is ready it takes the traffic; and when a newer one has taken it over, it ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import Field

from mulgil.artifacts import Record
from mulgil.errors import TemporaryError
from mulgil.local.plane.processes import ProcessIdentity

# How long a revision without traffic still answers what Envoy sent it. Requests take milliseconds.
DRAIN_SECONDS = 2.0
# How long a server may take to end before it is killed: its own patience with the last requests, and some.
STOP_SECONDS = 10.0
# Back-off doubles from the first to the greatest, and starts anew for a server that has been ready a while.
_FIRST_WAIT_SECONDS = 0.1
_GREATEST_WAIT_SECONDS = 30.0
_STABLE_SECONDS = 30.0
# From so many on, a server that keeps ending is called failed even where each end could be passing.
_MOST_FAILURES = 3


class Phase(StrEnum):
    """Where a revision is in its life."""

    PENDING = "pending"
    STARTING = "starting"
    READY = "ready"
    RETIRING = "retiring"
    STOPPING = "stopping"

    @property
    def is_wanted(self) -> bool:
        """Whether the server is to run."""
        return self not in (Phase.RETIRING, Phase.STOPPING)


class Failure(Record):
    """How a server ended unasked.

    Attributes:
        exit_code: Negative for a signal; `None` where nobody could tell.
        message: The end of its log.
        at: Seconds since the epoch.
    """

    exit_code: int | None
    message: str
    at: float


class Revision(Record):
    """One `spec.predictor`, and its server.

    Attributes:
        name: Such as `heart-predictor-00002`.
        predictor: The part of the object that it was made from.
        fingerprint: Of that.
        phase: Where it is in its life.
        since: When it came there, in seconds since the epoch.
        due_at: When the next thing is to be done: start a pending one, stop a retiring, kill a stopping.
        port: Where the server listens.
        process: The server.
        failures: Times in a row that it ended unasked.
        failure: The last of them.
    """

    name: str
    predictor: dict[str, Any]
    fingerprint: str
    phase: Phase
    since: float
    due_at: float
    port: int | None = None
    process: ProcessIdentity | None = None
    failures: int = 0
    failure: Failure | None = None

    @property
    def has_failed(self) -> bool:
        """Whether waiting for it is of no use: it says that it cannot run, or did not in several tries."""
        if self.failure is None or self.phase is Phase.READY:
            return False
        passing = (None, TemporaryError.exit_code)
        killed = self.failure.exit_code is not None and self.failure.exit_code < 0
        return self.failures >= _MOST_FAILURES or not (self.failure.exit_code in passing or killed)

    def enter(self, phase: Phase, now: float, *, wait: float = 0.0, **changes: Any) -> Revision:
        """Return the revision in another phase."""
        return self.model_copy(update={"phase": phase, "since": now, "due_at": now + wait, **changes})


class ServiceState(Record):
    """What the plane knows of one InferenceService.

    Attributes:
        observed_generation: Of the object that was last acted on.
        counter: Number of the newest revision.
        revisions: Oldest first.
        latest_ready: The newest that was ever ready: it has the traffic.
        rolled_out: The newest that had all the traffic.
        previous_rolled_out: The one before.
        status: The object's status, as it was last written.
    """

    observed_generation: int = 0
    counter: int = 0
    revisions: tuple[Revision, ...] = ()
    latest_ready: str | None = None
    rolled_out: str | None = None
    previous_rolled_out: str | None = None
    status: dict[str, Any] = Field(default_factory=dict)

    @property
    def newest(self) -> Revision | None:
        """The revision that is to have the traffic."""
        wanted = [revision for revision in self.revisions if revision.phase.is_wanted]
        return wanted[-1] if wanted else None

    @property
    def serving(self) -> Revision | None:
        """The revision that has the traffic."""
        return self.find(self.latest_ready)

    def find(self, name: str | None) -> Revision | None:
        """Return a revision by name."""
        return next((revision for revision in self.revisions if revision.name == name), None)


@dataclass(frozen=True)
class Wanted:
    """What the object asks for."""

    name: str
    generation: int
    predictor: dict[str, Any]
    fingerprint: str


@dataclass(frozen=True)
class Observation:
    """What was seen of a server.

    Attributes:
        is_alive: Whether the process runs.
        is_ready: Whether it says that it is ready.
        exit_code: Of one that ended, where it can be told.
        log_tail: The end of the log of one that ended.
    """

    is_alive: bool
    is_ready: bool = False
    exit_code: int | None = None
    log_tail: str = ""


def reconcile(
    state: ServiceState, wanted: Wanted | None, seen: Mapping[str, Observation], now: float
) -> ServiceState:
    """Decide what every revision is to be.

    Args:
        state: What was known.
        wanted: What the object asks for; `None` where it is deleted.
        seen: What was seen of every revision that has a process, by name.
        now: Seconds since the epoch.

    Returns:
        What is known now. Pending, retiring and stopping revisions that are due wait to be acted on.
    """
    observed = (_observe(revision, seen.get(revision.name), now) for revision in state.revisions)
    state = state.model_copy(update={"revisions": tuple(r for r in observed if r is not None)})
    if wanted is None:
        return _retire(state, keep=(), now=now, wait=0.0).model_copy(update={"latest_ready": None})
    state = _admit(state, wanted, now)
    newest = state.newest
    if newest is not None and newest.phase is Phase.READY and newest.name != state.latest_ready:
        state = state.model_copy(
            update={
                "latest_ready": newest.name,
                "rolled_out": newest.name,
                "previous_rolled_out": state.rolled_out,
            }
        )
        state = _retire(state, keep=(newest.name,), now=now, wait=DRAIN_SECONDS)
    return state.model_copy(update={"observed_generation": wanted.generation})


def rest(state: ServiceState, now: float) -> ServiceState:
    """Return the state after every process was stopped on purpose: what is wanted waits to be started."""
    wanted = (revision for revision in state.revisions if revision.phase.is_wanted)
    revisions = (
        revision.enter(Phase.PENDING, now, process=None, failures=0, failure=None) for revision in wanted
    )
    return state.model_copy(update={"revisions": tuple(revisions)})


def _admit(state: ServiceState, wanted: Wanted, now: float) -> ServiceState:
    """See that the newest revision is the wanted one."""
    newest, serving = state.newest, state.serving
    if newest is not None and newest.fingerprint == wanted.fingerprint:
        return state
    if serving is not None and serving.phase.is_wanted and serving.fingerprint == wanted.fingerprint:
        # Back to what serves: whatever was on its way to replace it is not wanted any more.
        return _retire(state, keep=(serving.name,), now=now, wait=0.0)
    number = state.counter + 1
    revision = Revision(
        name=f"{wanted.name}-predictor-{number:05d}",
        predictor=wanted.predictor,
        fingerprint=wanted.fingerprint,
        phase=Phase.PENDING,
        since=now,
        due_at=now,
    )
    keep = () if serving is None else (serving.name,)
    state = _retire(state, keep=keep, now=now, wait=0.0)
    return state.model_copy(update={"counter": number, "revisions": (*state.revisions, revision)})


def _retire(state: ServiceState, *, keep: tuple[str, ...], now: float, wait: float) -> ServiceState:
    return state.model_copy(
        update={
            "revisions": tuple(
                revision
                if revision.name in keep or not revision.phase.is_wanted
                else revision.enter(Phase.RETIRING, now, wait=wait)
                for revision in state.revisions
            )
        }
    )


def _observe(revision: Revision, seen: Observation | None, now: float) -> Revision | None:
    """Move a revision by what was seen; `None` where it is over."""
    is_alive = seen is not None and seen.is_alive
    if not revision.phase.is_wanted:
        return revision if is_alive else None
    if revision.phase is Phase.PENDING:
        return revision
    if seen is None or not seen.is_alive:
        failures = revision.failures + 1
        exit_code = seen.exit_code if seen else None
        return revision.enter(
            Phase.PENDING,
            now,
            wait=min(_FIRST_WAIT_SECONDS * 2 ** (failures - 1), _GREATEST_WAIT_SECONDS),
            process=None,
            # The server's word for a port that another program has taken.
            port=None if exit_code == TemporaryError.exit_code else revision.port,
            failures=failures,
            failure=Failure(exit_code=exit_code, message=seen.log_tail if seen else "", at=now),
        )
    if revision.phase is Phase.STARTING and seen.is_ready:
        return revision.enter(Phase.READY, now)
    if revision.failures and revision.phase is Phase.READY and now - revision.since > _STABLE_SECONDS:
        return revision.model_copy(update={"failures": 0})
    return revision
