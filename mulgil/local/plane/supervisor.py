"""The supervisor: makes the machine match the objects, again and again.

It keeps nothing in memory that is not on the disk, so that it may be killed at any time: servers and Envoy go
on, and the next supervisor finds them by pid and start time.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Any

from mulgil.errors import MulgilError
from mulgil.local.plane import model_server, processes
from mulgil.local.plane.envoy_config import HOST, Backend, ServiceRoute, service_prefix
from mulgil.local.plane.envoy_process import Envoy, EnvoyRecord
from mulgil.local.plane.objects import Predictor, parse_inference_service
from mulgil.local.plane.revisions import (
    STOP_SECONDS,
    Observation,
    Phase,
    Revision,
    ServiceState,
    Wanted,
    reconcile,
)
from mulgil.local.plane.status import fill_status
from mulgil.local.plane.store import PlaneRecord, PlaneStore, ServiceKey

# Often enough for a person who waits, seldom enough to cost nothing. Chosen by eye.
_TICK_SECONDS = 0.1
_TROUBLE_SECONDS = 1.0
SUPERVISOR_LOCK = "supervisor"


class Supervisor:
    """One plane's supervisor.

    Args:
        store: The plane's folder.
        preferred_port: Where clients are to come in.
    """

    def __init__(self, store: PlaneStore, preferred_port: int) -> None:
        self._store = store
        self._envoy = Envoy(store.envoy_folder, preferred_port)
        self._is_told_to_stop = False

    def run(self) -> None:
        """Work until SIGTERM, which ends the supervisor alone; the client's `down` ends the rest."""
        signal.signal(signal.SIGTERM, lambda *_: setattr(self, "_is_told_to_stop", True))
        self._end_strays()
        while not self._is_told_to_stop:
            try:
                self.tick()
            except (MulgilError, OSError) as exc:
                # The next tick tries again; what runs goes on meanwhile.
                _log(f"{type(exc).__name__}: {exc}")
                time.sleep(_TROUBLE_SECONDS)
            time.sleep(_TICK_SECONDS)

    def tick(self) -> None:
        """Look once, decide, and act."""
        envoy = self._ensure_envoy()
        now = time.time()
        before = {key: self._store.read_state(key) for key in self._store.list_keys()}
        objects = {key: self._store.read_object(key) for key in before}
        states = {key: self._reconcile(key, state, objects[key], now) for key, state in before.items()}
        is_routed = self._route(states, wanted={key for key in states if objects[key] is not None})
        for key, state in states.items():
            # A supervisor that is killed between the act and the writing leaves a stray: see `_end_strays`.
            revisions = (self._act(key, revision, now, is_routed=is_routed) for revision in state.revisions)
            acted = state.model_copy(update={"revisions": tuple(revisions)})
            url = f"http://{HOST}:{envoy.port}{service_prefix(*key)}"
            status = fill_status(acted, url=url, is_up=True, is_routed=is_routed, now=now)
            acted = acted.model_copy(update={"status": status})
            if objects[key] is None and not acted.revisions:
                self._store.forget(key)
                _log(f"{key.namespace}/{key.name}: deleted")
            elif acted != before[key]:
                self._store.write_state(key, acted)
                _log_changes(key, before[key], acted)

    def _ensure_envoy(self) -> EnvoyRecord:
        record = self._store.read_record()
        me = processes.identify(os.getpid())
        assert me is not None
        known = record.envoy if record else None
        envoy = self._envoy.ensure_running(known)
        if record is None or record.envoy != envoy or record.supervisor != me:
            self._store.write_record(PlaneRecord(supervisor=me, envoy=envoy))
            if known != envoy:
                _log(f"envoy {envoy.process.pid} listens on {HOST}:{envoy.port}")
        return envoy

    def _reconcile(
        self, key: ServiceKey, state: ServiceState, content: dict[str, Any] | None, now: float
    ) -> ServiceState:
        seen = {
            revision.name: self._observe(key, revision)
            for revision in state.revisions
            if revision.process is not None
        }
        return reconcile(state, _wanted(content), seen, now)

    def _observe(self, key: ServiceKey, revision: Revision) -> Observation:
        process, port = revision.process, revision.port
        assert process is not None
        exit_code = processes.reap(process)
        if not processes.is_alive(process):
            return Observation(
                is_alive=False,
                exit_code=exit_code,
                log_tail=self._store.read_log_tail(key, revision.name),
            )
        is_ready = revision.phase is Phase.READY or (
            port is not None and revision.phase is Phase.STARTING and model_server.is_ready(port, key.name)
        )
        return Observation(is_alive=True, is_ready=is_ready)

    def _route(self, states: dict[ServiceKey, ServiceState], wanted: set[ServiceKey]) -> bool:
        """Lead clients to what serves; a deleted service has no route, and its servers end after that."""
        backends = [
            Backend(_backend(key, revision), revision.port)
            for key, state in states.items()
            for revision in state.revisions
            if revision.port is not None
        ]
        reachable = {backend.name for backend in backends}
        services = []
        for key in sorted(wanted):
            serving = states[key].serving
            name = _backend(key, serving) if serving else ""
            services.append(ServiceRoute(service_prefix(*key), {name: 100} if name in reachable else {}))
        return self._envoy.apply(backends, services)

    def _act(self, key: ServiceKey, revision: Revision, now: float, *, is_routed: bool) -> Revision:
        """Do what is due. No server is stopped that Envoy may still lead to."""
        if now < revision.due_at:
            return revision
        match revision.phase:
            case Phase.PENDING:
                return self._start(key, revision, now)
            case Phase.RETIRING if revision.process is not None and is_routed:
                processes.send_signal(revision.process, signal.SIGTERM)
                return revision.enter(Phase.STOPPING, now, wait=STOP_SECONDS)
            case Phase.STOPPING if revision.process is not None:
                processes.send_signal(revision.process, signal.SIGKILL)
        return revision

    def _start(self, key: ServiceKey, revision: Revision, now: float) -> Revision:
        predictor = Predictor.model_validate(revision.predictor)
        port = revision.port or model_server.free_port()
        process = processes.start_process(
            model_server.command_line(predictor, name=key.name, revision=revision.name, port=port),
            log_path=self._store.log_path(key, revision.name),
            environment=predictor.environment,
            mark=self._store.folder,
        )
        return revision.enter(Phase.STARTING, now, process=process, port=port)

    def _end_strays(self) -> None:
        """End what an earlier supervisor began and was killed before it wrote down."""
        record = self._store.read_record()
        known = {record.envoy.process} if record and record.envoy else set()
        for key in self._store.list_keys():
            known |= {r.process for r in self._store.read_state(key).revisions if r.process is not None}
        strays = [process for process in processes.find_marked(self._store.folder) if process not in known]
        processes.stop_processes(strays, STOP_SECONDS)


def supervise(*, state_path: Path, http_port: int) -> None:
    """Supervise the plane in a folder, unless somebody does already.

    Args:
        state_path: The plane's folder.
        http_port: Where clients are to come in; the next free port where it is taken.
    """
    store = PlaneStore(state_path)
    with store.try_lock(SUPERVISOR_LOCK) as is_mine:
        if is_mine:
            Supervisor(store, http_port).run()


def _wanted(content: dict[str, Any] | None) -> Wanted | None:
    if content is None:
        return None
    service = parse_inference_service(content)
    return Wanted(
        name=service.metadata.name,
        generation=content["metadata"]["generation"],
        predictor=service.spec.predictor.model_dump(mode="json"),
        fingerprint=service.spec.predictor.fingerprint,
    )


def _backend(key: ServiceKey, revision: Revision) -> str:
    return f"{key.namespace}/{revision.name}"


def _log_changes(key: ServiceKey, before: ServiceState, after: ServiceState) -> None:
    for revision in after.revisions:
        old = before.find(revision.name)
        if old is None or old.phase is not revision.phase:
            _log(f"{key.namespace}/{revision.name}: {revision.phase}")


def _log(text: str) -> None:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with contextlib.suppress(OSError):
        print(f"{stamp} {text}", flush=True)
