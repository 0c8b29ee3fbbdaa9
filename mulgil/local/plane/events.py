"""What happened to a service, as Kubernetes' events tell it: read off two states, one after the other.

Source:
    Reasons are those of Knative's configuration where it has one:
    https://github.com/knative/serving/blob/knative-v1.23.0/pkg/reconciler/configuration/configuration.go
"""

from __future__ import annotations

from collections.abc import Iterator

from mulgil.local.plane.revisions import Event, Phase, Server, ServiceState

# So many are kept, so that the state stays small however long a server keeps dying.
MOST_EVENTS = 50


def note_events(before: ServiceState, after: ServiceState, now: float) -> ServiceState:
    """Return the later state with what happened since the earlier one.

    Args:
        before: The state of the look before.
        after: The state now, which still has the earlier one's events.
        now: Seconds since the epoch.
    """
    events = list(after.events)
    for is_warning, reason, message in _happened(before, after):
        last = events[-1] if events else None
        if last is not None and (last.reason, last.message) == (reason, message):
            events[-1] = last.model_copy(update={"at": now, "count": last.count + 1})
        else:
            events.append(Event(at=now, is_warning=is_warning, reason=reason, message=message))
    return after.model_copy(update={"events": tuple(events[-MOST_EVENTS:])})


def _happened(before: ServiceState, after: ServiceState) -> Iterator[tuple[bool, str, str]]:
    known = {revision.name for revision in before.revisions}
    for revision in after.revisions:
        if revision.name not in known:
            yield False, "Created", f'Created Revision "{revision.name}"'
    for key, server in after.servers.items():
        old = before.servers.get(key)
        yield from _of_server(f"{key.revision}-{key.number}", old, server)
    for revision in after.revisions:
        old_revision = before.find(revision.name)
        if revision.has_failed and not (old_revision is not None and old_revision.has_failed):
            yield True, "LatestCreatedFailed", f'Revision "{revision.name}" has failed'
    if after.latest_ready not in (None, before.latest_ready):
        yield False, "LatestReadyUpdate", f'LatestReadyRevisionName updated to "{after.latest_ready}"'
    if after.traffic != before.traffic:
        shares = ", ".join(f"{name} {percent}%" for name, percent in after.weights.items())
        yield False, "TrafficAssigned", shares or "nobody"


def _of_server(name: str, old: Server | None, server: Server) -> Iterator[tuple[bool, str, str]]:
    if old is not None and server.failure is not None and server.failure != old.failure:
        code = server.failure.exit_code
        how = (
            "ended" if code is None else f"was killed by signal {-code}" if code < 0 else f"ended with {code}"
        )
        yield True, "BackOff", f"Server {name} {how}; it is begun again"
    if old is not None and old.phase is server.phase:
        return
    match server.phase:
        case Phase.STARTING:
            yield False, "Started", f"Started server {name}"
        case Phase.READY:
            yield False, "Ready", f"Server {name} is ready"
        case Phase.STOPPING:
            yield False, "Killing", f"Stopping server {name}"
