"""The supervisor: makes the machine match the objects, again and again.

It keeps nothing in memory that is not on the disk, so that it may be killed at any time: servers and Envoy go
on, and the next supervisor finds them by pid and start time.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mulgil.errors import InputError, MulgilError, PermanentError
from mulgil.local.plane import model_server, processes, server_container
from mulgil.local.plane.code_version import code_version
from mulgil.local.plane.collector_process import ensure_collector
from mulgil.local.plane.envoy_config import (
    HOST,
    REQUEST_SECONDS,
    Backend,
    ServiceRoute,
    service_host,
    service_prefix,
)
from mulgil.local.plane.envoy_process import Envoy, EnvoyRecord
from mulgil.local.plane.events import note_events
from mulgil.local.plane.objects import IMAGE_ANNOTATION, Predictor, Resources, parse_inference_service
from mulgil.local.plane.reconcile import reconcile
from mulgil.local.plane.revisions import (
    STOP_SECONDS,
    Observation,
    Phase,
    Revision,
    Server,
    ServerKey,
    ServiceKey,
    ServiceState,
)
from mulgil.local.plane.status import fill_status, revision_path, tag_path
from mulgil.local.plane.store import PlaneRecord, PlaneStore
from mulgil.local.plane.traffic_policy import TrafficPolicy, candidate_of
from mulgil.local.plane.wanted import Wanted, read_wanted

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
        self._unreadable: set[ServiceKey] = set()
        self._has_recorded = False
        self._code = code_version()

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
        wanted = self._read_wanted(before)
        self._ensure_collector(wanted.values())
        # What cannot be read is left as it is, its routes too.
        states = before | {
            key: reconcile(before[key], asked, self._observe(key, before[key]), now)
            for key, asked in wanted.items()
        }
        deleted = {key for key, asked in wanted.items() if asked is None}
        is_routed = self._route({key: states[key] for key in states.keys() - deleted}, states)
        for key, asked in wanted.items():
            state = states[key]
            # A supervisor that is killed between the act and the writing leaves a stray: see `_end_strays`.
            revisions = (self._act(key, revision, now, is_routed=is_routed) for revision in state.revisions)
            acted = state.model_copy(update={"revisions": tuple(revisions)})
            acted = note_events(before[key], acted, now)
            if asked is not None:
                url = f"http://{HOST}:{envoy.port}{service_prefix(*key)}"
                status = fill_status(acted, asked, url=url, is_up=True, is_routed=is_routed, now=now)
                acted = acted.model_copy(update={"status": status})
            elif not acted.revisions:
                self._store.forget(key)
                _log(f"{key.namespace}/{key.name}: deleted")
                continue
            if acted != before[key]:
                self._store.write_state(key, acted)
                _log_events(key, before[key], acted)

    def _read_wanted(self, keys: Iterable[ServiceKey]) -> dict[ServiceKey, Wanted | None]:
        """Read what is wanted, without what another version of Mulgil took and this one does not."""
        wanted, unreadable = {}, set()
        for key in keys:
            try:
                wanted[key] = _wanted(self._store.read_object(key))
            except InputError as exc:
                unreadable.add(key)
                if key not in self._unreadable:
                    _log(f"{key.namespace}/{key.name} is left as it is: {exc}")
        self._unreadable = unreadable
        return wanted

    def _ensure_envoy(self) -> EnvoyRecord:
        record = self._store.read_record()
        if record is None and self._has_recorded:
            _log("plane.json is gone or damaged: Envoy and the collector are begun anew")
            self._end_strays()
        me = processes.identify(os.getpid())
        assert me is not None
        known = record.envoy if record else None
        envoy = self._envoy.ensure_running(known)
        collector = record.collector if record else None
        self._write_record(PlaneRecord(supervisor=me, envoy=envoy, collector=collector, code=self._code))
        self._has_recorded = True
        if known != envoy:
            _log(f"envoy {envoy.process.pid} listens on {HOST}:{envoy.port}")
        return envoy

    def _ensure_collector(self, wanted: Iterable[Wanted | None]) -> None:
        """See that predictions are recorded, where a service wants it and names no collector of its own."""
        workloads = (workload for asked in wanted if asked for workload in asked.workloads)
        templates = (Predictor.model_validate(workload.template["predictor"]) for workload in workloads)
        record = self._store.read_record()
        if record is None or not any(predictor.needs_collector for predictor in templates):
            return
        collector = ensure_collector(
            record.collector, root=self._store.predictions_folder, mark=self._store.folder
        )
        self._write_record(record.model_copy(update={"collector": collector}))

    def _write_record(self, record: PlaneRecord) -> None:
        if self._store.read_record() != record:
            self._store.write_record(record)

    def _observe(self, key: ServiceKey, state: ServiceState) -> dict[ServerKey, Observation]:
        for revision in state.revisions:
            self._keep_to_memory(key, revision)
        return {
            name: self._look_at(key, name, server)
            for name, server in state.servers.items()
            if server.process is not None
        }

    def _keep_to_memory(self, key: ServiceKey, revision: Revision) -> None:
        """Kill a server that has more memory than its limit, as a kubelet does."""
        # This part alone: the whole may be what an earlier version took and this one does not.
        limit = Resources.model_validate(revision.template["predictor"]["model"].get("resources", {})).limits
        most = limit.bytes
        for server in revision.servers if most is not None else ():
            if server.process is None or (used := processes.resident_bytes(server.process)) <= (most or 0):
                continue
            path = self._store.log_path(key, ServerKey(revision.name, server.index))
            with path.open("a", encoding="utf-8") as log:
                log.write(
                    f"OOMKilled: {used / 2**20:.0f} MiB, more than resources.limits.memory={limit.memory}\n"
                )
            processes.send_signal(server.process, signal.SIGKILL)

    def _look_at(self, key: ServiceKey, name: ServerKey, server: Server) -> Observation:
        process, port = server.process, server.port
        assert process is not None
        exit_code = processes.reap(process)
        if not processes.is_alive(process):
            log_tail = self._store.read_log_tail(key, name)
            return Observation(is_alive=False, exit_code=exit_code, log_tail=log_tail)
        is_ready = server.phase is Phase.READY or (
            port is not None and server.phase is Phase.STARTING and model_server.is_ready(port, key.name)
        )
        return Observation(is_alive=True, is_ready=is_ready)

    def _route(self, wanted: dict[ServiceKey, ServiceState], states: dict[ServiceKey, ServiceState]) -> bool:
        """Lead clients to what serves; a deleted service has no route, and its servers end after that."""
        backends = {
            name: Backend(
                name,
                tuple(server.port for server in asked if server.port is not None),
                tuple(server.grpc_port for server in asked if server.grpc_port is not None),
            )
            for key, state in states.items()
            for revision in state.revisions
            if (asked := _asked(revision)) and (name := _backend(key, revision.name))
        }
        services = [
            _service_route(key, state, backends, self._store.read_policy(key))
            for key, state in sorted(wanted.items())
        ]
        return self._envoy.apply(list(backends.values()), services)

    def _act(self, key: ServiceKey, revision: Revision, now: float, *, is_routed: bool) -> Revision:
        servers = (
            self._act_on(key, revision, server, now, is_routed=is_routed) for server in revision.servers
        )
        return revision.model_copy(update={"servers": tuple(servers)})

    def _act_on(
        self, key: ServiceKey, revision: Revision, server: Server, now: float, *, is_routed: bool
    ) -> Server:
        """Do what is due. No server is stopped that Envoy may still lead to."""
        if now < server.due_at:
            return server
        match server.phase:
            case Phase.PENDING:
                try:
                    return self._start(key, revision, server, now)
                except (MulgilError, OSError, ValueError) as exc:
                    # Its own trouble, such as a volume that is gone: all others go on.
                    exit_code = exc.exit_code if isinstance(exc, MulgilError) else PermanentError.exit_code
                    return server.fail(exit_code, str(exc), now)
            case Phase.RETIRING if server.process is not None and is_routed:
                processes.send_signal(server.process, signal.SIGTERM)
                return server.enter(Phase.STOPPING, now, wait=STOP_SECONDS)
            case Phase.STOPPING if server.process is not None:
                processes.send_signal(server.process, signal.SIGKILL)
                if server.port is not None and _is_contained(revision):
                    server_container.remove_container(self._store.folder, server.port)
        return server

    def _start(self, key: ServiceKey, revision: Revision, server: Server, now: float) -> Server:
        predictor = Predictor.model_validate(revision.template["predictor"])
        port = server.port or model_server.free_port()
        grpc_port = server.grpc_port or model_server.free_port() if predictor.model.speaks_grpc else None
        record = self._store.read_record()
        process = processes.start_process(
            model_server.command_line(
                predictor,
                key,
                revision=revision.name,
                port=port,
                grpc_port=grpc_port,
                volumes=self._store.volumes_folder,
                models=self._store.models_folder,
                collector_url=record.collector.url if record and record.collector else None,
                folder=self._store.folder,
            ),
            log_path=self._store.log_path(key, ServerKey(revision.name, server.index)),
            environment=predictor.environment,
            mark=self._store.folder,
        )
        limit = predictor.model.resources.limits.cores
        if limit is not None:
            processes.keep_to_cores(process, max(1, math.ceil(limit)), server.index)
        return server.enter(Phase.STARTING, now, process=process, port=port, grpc_port=grpc_port)

    def _end_strays(self) -> None:
        """End what an earlier supervisor began and was killed before it wrote down."""
        record = self._store.read_record()
        running = (record.envoy, record.collector) if record else ()
        known = {part.process for part in running if part is not None}
        for key in self._store.list_keys():
            known |= {
                s.process for s in self._store.read_state(key).servers.values() if s.process is not None
            }
        keeper = os.getppid()
        strays = [
            process
            for process in processes.find_marked(self._store.folder)
            if process not in known and process.pid != keeper
        ]
        processes.stop_processes(strays, STOP_SECONDS)
        servers = (s for key in self._store.list_keys() for s in self._store.read_state(key).servers.values())
        alive = [s.port for s in servers if s.process is not None and processes.is_alive(s.process)]
        server_container.remove_containers(self._store.folder, [port for port in alive if port is not None])


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
    return read_wanted(parse_inference_service(content), content["metadata"]["generation"])


def _is_contained(revision: Revision) -> bool:
    return IMAGE_ANNOTATION in revision.template["predictor"].get("annotations", {})


def _asked(revision: Revision) -> list[Server]:
    """Return who is asked of a revision: those that answer, else those coming back or still draining."""
    serving = [s for s in revision.servers if s.port is not None and s.phase is not Phase.STOPPING]
    ready = [server for server in serving if server.phase is Phase.READY]
    kept = [server for server in serving if server.phase.is_wanted]
    return ready or kept or serving


def _service_route(
    key: ServiceKey, state: ServiceState, reachable: Mapping[str, Backend], policy: TrafficPolicy
) -> ServiceRoute:
    weights = {_backend(key, name): percent for name, percent in state.weights.items()}
    candidate = candidate_of(state)
    addressed = {
        revision_path(revision.name): revision.name for revision in state.revisions if revision.is_up
    }
    addressed |= {tag_path(target.tag): target.revision for target in state.traffic if target.tag}
    return ServiceRoute(
        service_prefix(*key),
        weights if weights.keys() <= reachable.keys() else {},
        host=service_host(*key),
        speaks_grpc=all(name in reachable and reachable[name].grpc_ports for name in weights),
        direct={
            path: backend for path, name in addressed.items() if (backend := _backend(key, name)) in reachable
        },
        candidate=_backend(key, candidate.revision) if candidate else None,
        policy=policy,
        timeout_seconds=_timeout_seconds(state),
    )


def _timeout_seconds(state: ServiceState) -> int:
    """Return the longest patience among those with a share: the route is theirs together."""
    shared = (state.find(name) for name in state.weights)
    asked = (revision.template["predictor"].get("timeout") for revision in shared if revision)
    return max((seconds or REQUEST_SECONDS for seconds in asked), default=REQUEST_SECONDS)


def _backend(key: ServiceKey, revision: str) -> str:
    return f"{key.namespace}/{revision}"


def _log_events(key: ServiceKey, before: ServiceState, after: ServiceState) -> None:
    for event in after.events:
        if event not in before.events:
            _log(f"{key.namespace}/{key.name}: {event.reason}: {event.message}")


def _log(text: str) -> None:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with contextlib.suppress(OSError):
        print(f"{stamp} {text}", flush=True)
