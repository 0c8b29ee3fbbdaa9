"""Revisions and their servers: what they are, and how they live from one look at the machine to the next.

A revision is one predictor as it was written at one time. Its servers are begun, and begun again whenever
they die; which revisions are to run, and who has which share of the traffic, is decided in `knative` and
`standard`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from pydantic import Field

from mulgil.artifacts import Record
from mulgil.errors import TemporaryError
from mulgil.local.plane.processes import ProcessIdentity

# How long a server without traffic still answers what Envoy sent it. Requests take milliseconds.
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
    """Where a server is in its life."""

    PENDING = "pending"
    STARTING = "starting"
    READY = "ready"
    RETIRING = "retiring"
    STOPPING = "stopping"

    @property
    def is_wanted(self) -> bool:
        """Whether the server is to run."""
        return self not in (Phase.RETIRING, Phase.STOPPING)


class ServiceKey(NamedTuple):
    """Which InferenceService."""

    namespace: str
    name: str


class ServerKey(NamedTuple):
    """Which server."""

    revision: str
    number: int


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


class Server(Record):
    """One server of a revision: what a pod is on a cluster.

    Attributes:
        index: Its number within the revision, from 0.
        phase: Where it is in its life.
        since: When it came there, in seconds since the epoch.
        due_at: When the next thing is to be done: start a pending one, stop a retiring, kill a stopping.
        port: Where it listens.
        grpc_port: Where it speaks gRPC; `None` where it does not.
        process: Who it is.
        failures: Times in a row that it ended unasked.
        failure: The last of them.
    """

    index: int
    phase: Phase
    since: float
    due_at: float
    port: int | None = None
    grpc_port: int | None = None
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

    def enter(self, phase: Phase, now: float, *, wait: float = 0.0, **changes: Any) -> Server:
        """Return the server in another phase."""
        return self.model_copy(update={"phase": phase, "since": now, "due_at": now + wait, **changes})

    def fail(self, exit_code: int | None, message: str, now: float) -> Server:
        """Return the server after it ended unasked or could not be begun; each time it waits longer."""
        failures = self.failures + 1
        return self.enter(
            Phase.PENDING,
            now,
            wait=min(_FIRST_WAIT_SECONDS * 2 ** (failures - 1), _GREATEST_WAIT_SECONDS),
            process=None,
            # The server's word for a port that another program has taken.
            **({"port": None, "grpc_port": None} if exit_code == TemporaryError.exit_code else {}),
            failures=failures,
            failure=Failure(exit_code=exit_code, message=message, at=now),
        )


class Revision(Record):
    """One predictor as it was written at one time, and its servers.

    Attributes:
        name: Such as `heart-predictor-00002`.
        workload: What it is a revision of: Knative's configuration, or Kubernetes' deployment.
        template: All that a server is made from.
        fingerprint: Of that.
        replicas: Servers that are to run; 0 for one that is only remembered, so that it can come back.
        was_ready: Whether so many were ready at one time.
        servers: Those that there are.
    """

    name: str
    workload: str
    template: dict[str, Any]
    fingerprint: str
    replicas: int
    was_ready: bool = False
    servers: tuple[Server, ...] = ()

    @property
    def ready_servers(self) -> tuple[Server, ...]:
        """Those that answer."""
        return tuple(server for server in self.servers if server.phase is Phase.READY)

    @property
    def is_up(self) -> bool:
        """Whether it answers now."""
        return bool(self.ready_servers)

    @property
    def failed_server(self) -> Server | None:
        """The server for which waiting is of no use."""
        return next((server for server in self.servers if server.has_failed), None)

    @property
    def has_failed(self) -> bool:
        """Whether waiting for it is of no use."""
        return self.failed_server is not None and not (self.is_up and self.was_ready)

    @property
    def last_failure(self) -> Failure | None:
        """How the last of its servers that ended unasked did so."""
        failures = [server.failure for server in self.servers if server.failure is not None]
        return max(failures, key=lambda failure: failure.at, default=None)


class Target(Record):
    """A share of the traffic.

    Attributes:
        revision: Whose.
        percent: How much.
        is_latest: Whether it follows the latest revision that is ready (Knative's `latestRevision`).
        tag: Under which it has an address of its own (Knative's).
        variant: The canary's `predictor.name` in the standard form.
    """

    revision: str
    percent: int
    is_latest: bool = False
    tag: str = ""
    variant: str = ""


class Event(Record):
    """Something that happened.

    Attributes:
        at: When last, in seconds since the epoch.
        is_warning: Whether it is nothing good.
        reason: One word.
        message: A sentence.
        count: How often in a row.
    """

    at: float
    is_warning: bool
    reason: str
    message: str
    count: int = 1


class ServiceState(Record):
    """What the plane knows of one InferenceService.

    Attributes:
        observed_generation: Of the object that was last acted on.
        counter: Number of the newest revision.
        revisions: Oldest first.
        latest_ready: The newest that was ever ready.
        rolled_out: The newest that had all the traffic (Knative form).
        previous_rolled_out: The one before (Knative form).
        traffic: Who has which share; empty until something is ready.
        events: What happened, oldest first.
        status: The object's status, as it was last written.
    """

    observed_generation: int = 0
    counter: int = 0
    revisions: tuple[Revision, ...] = ()
    latest_ready: str | None = None
    rolled_out: str | None = None
    previous_rolled_out: str | None = None
    traffic: tuple[Target, ...] = ()
    events: tuple[Event, ...] = ()
    status: dict[str, Any] = Field(default_factory=dict)

    @property
    def newest(self) -> Revision | None:
        """The revision that was created last."""
        return self.revisions[-1] if self.revisions else None

    @property
    def weights(self) -> dict[str, int]:
        """Percent of the traffic by revision, those that have none included."""
        weights: dict[str, int] = {}
        for target in self.traffic:
            weights[target.revision] = weights.get(target.revision, 0) + target.percent
        return weights

    @property
    def servers(self) -> dict[ServerKey, Server]:
        """Every server."""
        return {ServerKey(r.name, server.index): server for r in self.revisions for server in r.servers}

    def find(self, name: str | None) -> Revision | None:
        """Return a revision by name."""
        return next((revision for revision in self.revisions if revision.name == name), None)

    def newest_of(self, workload: str) -> Revision | None:
        """Return a workload's newest revision."""
        return next((r for r in reversed(self.revisions) if r.workload == workload), None)


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


def observe(state: ServiceState, seen: Mapping[ServerKey, Observation], now: float) -> ServiceState:
    """Move every server by what was seen of it.

    Args:
        state: What was known.
        seen: What was seen of every server that has a process.
        now: Seconds since the epoch.
    """
    revisions = []
    for revision in state.revisions:
        observed = (
            _observe(server, seen.get(ServerKey(revision.name, server.index)), now)
            for server in revision.servers
        )
        revision = revision.model_copy(update={"servers": tuple(s for s in observed if s is not None)})
        was_ready = revision.was_ready or 0 < revision.replicas <= len(revision.ready_servers)
        revisions.append(revision.model_copy(update={"was_ready": was_ready}))
    return state.model_copy(update={"revisions": tuple(revisions)})


def add_revision(
    state: ServiceState, *, workload: str, template: dict[str, Any], fingerprint: str, replicas: int
) -> ServiceState:
    """Create a workload's next revision."""
    number = state.counter + 1
    revision = Revision(
        name=f"{workload}-{number:05d}",
        workload=workload,
        template=template,
        fingerprint=fingerprint,
        replicas=replicas,
    )
    return state.model_copy(update={"counter": number, "revisions": (*state.revisions, revision)})


def run(state: ServiceState, replicas: Mapping[str, int], kept: set[str | None], now: float) -> ServiceState:
    """See that every revision has as many servers as it is to have.

    Args:
        state: What is known.
        replicas: Servers by revision; none for the others.
        kept: Revisions that are remembered though they have no server.
        now: Seconds since the epoch.
    """
    scaled = (_scale(revision, replicas.get(revision.name, 0), now) for revision in state.revisions)
    left = tuple(r for r in scaled if r.servers or r.replicas or r.name in kept)
    return state.model_copy(update={"revisions": left})


def rest(state: ServiceState, now: float) -> ServiceState:
    """Return the state after every process was stopped on purpose: what is wanted waits to be started."""
    revisions = []
    for revision in state.revisions:
        wanted = (server for server in revision.servers if server.phase.is_wanted)
        servers = tuple(
            server.enter(Phase.PENDING, now, process=None, failures=0, failure=None) for server in wanted
        )
        revisions.append(revision.model_copy(update={"servers": servers}))
    return state.model_copy(update={"revisions": tuple(revisions)})


def _scale(revision: Revision, replicas: int, now: float) -> Revision:
    wanted = [server for server in revision.servers if server.phase.is_wanted]
    # Those that answer stay before those that do not.
    wanted.sort(key=lambda server: (server.phase is not Phase.READY, server.index))
    extra = {server.index for server in wanted[replicas:]}
    taken = {server.index for server in revision.servers}
    free = (index for index in range(len(taken) + replicas) if index not in taken)
    servers = [_retire(server, now) if server.index in extra else server for server in revision.servers]
    servers += [
        Server(index=index, phase=Phase.PENDING, since=now, due_at=now)
        for index, _ in zip(free, range(replicas - len(wanted)), strict=False)
    ]
    return revision.model_copy(update={"replicas": replicas, "servers": tuple(servers)})


def _retire(server: Server, now: float) -> Server:
    return server.enter(Phase.RETIRING, now, wait=DRAIN_SECONDS if server.phase is Phase.READY else 0.0)


def _observe(server: Server, seen: Observation | None, now: float) -> Server | None:
    """Move a server by what was seen; `None` where it is over."""
    is_alive = seen is not None and seen.is_alive
    if not server.phase.is_wanted:
        return server if is_alive else None
    if server.phase is Phase.PENDING:
        return server
    if seen is None or not seen.is_alive:
        return server.fail(seen.exit_code if seen else None, seen.log_tail if seen else "", now)
    if server.phase is Phase.STARTING and seen.is_ready:
        return server.enter(Phase.READY, now)
    if server.failures and server.phase is Phase.READY and now - server.since > _STABLE_SECONDS:
        return server.model_copy(update={"failures": 0})
    return server
