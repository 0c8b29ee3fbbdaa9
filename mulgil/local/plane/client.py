"""What the command line and the deploy step call: apply objects, read them back, start and stop the plane."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mulgil.errors import InputError, PermanentError, TemporaryError, describe
from mulgil.home import home, is_contained
from mulgil.kserve_modes import MODE_ANNOTATION
from mulgil.local.plane import processes, server_container
from mulgil.local.plane.code_version import code_version
from mulgil.local.plane.envoy_config import HOST, service_prefix
from mulgil.local.plane.envoy_process import Envoy
from mulgil.local.plane.objects import (
    IMAGE_ANNOTATION,
    KIND,
    InferenceService,
    Predictor,
    parse_inference_service,
)
from mulgil.local.plane.requests import check_requests
from mulgil.local.plane.revisions import STOP_SECONDS, ServerKey, ServiceKey, ServiceState, rest
from mulgil.local.plane.status import (
    failure_of,
    fill_status,
    is_ready,
    is_stopped,
    revision_path,
    write_time,
)
from mulgil.local.plane.storage import is_remote, local_path
from mulgil.local.plane.store import PlaneRecord, PlaneStore, read_tail
from mulgil.local.plane.traffic_policy import TrafficPolicy
from mulgil.local.plane.traffic_statistics import TrafficStatistics, read_statistics
from mulgil.local.plane.wanted import Wanted, read_wanted

PREFERRED_PORT = 8080
RECORD_ANNOTATION = "mulgil.dev/record-predictions"

# The supervisor's parent: it begins it again where it was killed, and ends with it where it was told to stop.
_KEEP = 'wait=1; until "$@"; do sleep $wait; [ $wait -ge 32 ] || wait=$((wait * 2)); done'
_SUPERVISOR = "mulgil.local.plane"
_CLIENT_LOCK = "client"
_UP_SECONDS = 20.0
_COME_BACK_SECONDS = 60.0
_DELETE_SECONDS = 30.0
_LOOK_SECONDS = 0.05
_CONNECT_SECONDS = 2.0


class ServingPlane:
    """The local serving plane.

    Args:
        folder: Its state; `serving` in Mulgil's home where it is not given.
        preferred_port: Where clients are to come in, the first time; then it is remembered.
    """

    def __init__(self, folder: Path | None = None, preferred_port: int = PREFERRED_PORT) -> None:
        self._store = PlaneStore((folder or home() / "serving").resolve())
        self._preferred_port = preferred_port

    @property
    def is_up(self) -> bool:
        """Whether the supervisor and Envoy run."""
        record = self._store.read_record()
        return _answers(record) if is_contained() else _runs(record)

    @property
    def base_url(self) -> str:
        """Where clients come in, or came in last.

        Raises:
            TemporaryError: The plane was never up.
        """
        record = self._store.read_record()
        if record is None or record.envoy is None:
            raise TemporaryError(describe("The serving plane was never up", next_step="run `mulgil up`"))
        return f"http://{HOST}:{record.envoy.port}"

    def up(self) -> None:
        """Start the plane, and wait for what was deployed to be back.

        Raises:
            TemporaryError: It does not come up.
        """
        self._ensure_up()

        def is_back(item: dict[str, Any]) -> bool:
            status, generation = item["status"], item["metadata"]["generation"]
            return is_ready(status, generation) or failure_of(status, generation) is not None

        # What cannot come back is told by its status; it does not keep the plane from being up.
        _wait(lambda: all(map(is_back, self.list())), _COME_BACK_SECONDS)

    def down(self) -> None:
        """Stop every process of the plane; what is deployed comes back with `up`."""
        with self._store.lock(_CLIENT_LOCK):
            record = self._store.read_record()
            if record is not None:
                processes.stop_processes([record.supervisor], STOP_SECONDS)
            # The marks find all of them; the supervisor, which could start another, is gone with its keeper.
            while marked := processes.find_marked(self._store.folder):
                processes.stop_processes(marked, STOP_SECONDS)
            server_container.remove_containers(self._store.folder)
            now = time.time()
            for key in self._store.list_keys():
                content = self._store.read_object(key)
                if content is None:
                    self._store.forget(key)
                    continue
                state = rest(self._store.read_state(key), now)
                url = state.status.get("url", "")
                # Of one that another version of Mulgil took, and this one does not, nothing can be told.
                with contextlib.suppress(InputError):
                    wanted = _wanted(content)
                    status = fill_status(state, wanted, url=url, is_up=False, is_routed=False, now=now)
                    state = state.model_copy(update={"status": status})
                self._store.write_state(key, state)

    def adapt(self, manifest: dict[str, Any]) -> dict[str, Any]:
        """Return the manifest with what this machine adds: its own collector, and the image of its servers.

        Predictions are recorded where that is wanted; on a cluster the runtime says where, for every service.
        Servers are containers where the environment names their image.
        """
        predictor = dict(manifest["spec"]["predictor"])
        if manifest["metadata"].get("annotations", {}).get(RECORD_ANNOTATION) == "true":
            predictor["logger"] = {"mode": "all"}
        if image := os.environ.get(server_container.IMAGE_VARIABLE):
            predictor["annotations"] = {**predictor.get("annotations", {}), IMAGE_ANNOTATION: image}
        return {**manifest, "spec": {**manifest["spec"], "predictor": predictor}}

    def apply(self, manifest: dict[str, Any]) -> None:
        """Make an InferenceService wanted as the manifest has it; the plane is started where it is down.

        Raises:
            InputError: The manifest is wrong, or asks for what this plane does not honour.
            TemporaryError: The plane does not come up.
        """
        service = parse_inference_service(manifest)
        for workload in read_wanted(service, 0).workloads:
            # What this machine does not have is told at once, not by a server that cannot start.
            predictor = Predictor.model_validate(workload.template["predictor"])
            check_requests(predictor.model.resources.requests, workload.name)
            if not is_remote(predictor.model.storageUri):
                local_path(predictor.model.storageUri, self._store.volumes_folder)
        self._ensure_up()
        key = ServiceKey(service.metadata.namespace, service.metadata.name)
        with self._store.lock(_CLIENT_LOCK):
            before = self._store.read_object(key)
            if before is not None:
                _check_mode(before, service)
            self._check_names(key, service)
            content = _merge(before, service, manifest["spec"])
            if content != before:
                self._store.write_object(key, content)

    def delete(self, name: str, namespace: str = "default") -> None:
        """Remove an InferenceService, and wait until its servers have ended.

        Raises:
            InputError: There is none of that name.
            TemporaryError: They do not end.
        """
        key = ServiceKey(namespace, name)
        self._read(key)
        self._ensure_up()
        with self._store.lock(_CLIENT_LOCK):
            self._store.delete_object(key)
            if not _wait(lambda: key not in self._store.list_keys(), _DELETE_SECONDS):
                raise TemporaryError(
                    describe(f"{namespace}/{name} does not end", next_step=f"read {self._log_path}")
                )

    def get(self, name: str, namespace: str = "default") -> dict[str, Any]:
        """Return an InferenceService with its status.

        Raises:
            InputError: There is none of that name.
        """
        return self._read(ServiceKey(namespace, name))

    def list(self, namespace: str | None = None) -> list[dict[str, Any]]:
        """Return every InferenceService, or those of a namespace, with their status."""
        found = []
        for key in self._store.list_keys():
            if namespace in (None, key.namespace):
                with contextlib.suppress(InputError):
                    found.append(self._read(key))
        return found

    def find(self, name: str, namespace: str = "default") -> dict[str, Any] | None:
        """Return an InferenceService with its status; `None` where there is none of that name."""
        with contextlib.suppress(InputError):
            return self.get(name, namespace)
        return None

    def state(self, name: str, namespace: str = "default") -> ServiceState:
        """Return what the plane knows of a service beyond its status: servers, and what happened.

        Raises:
            InputError: There is no service of that name.
        """
        key = ServiceKey(namespace, name)
        self._read(key)
        return self._store.read_state(key)

    @property
    def predictions_folder(self) -> Path:
        """Where the plane's own collector keeps predictions; `mulgil.prediction_log.reading` reads them."""
        return self._store.predictions_folder

    def log_paths(self, name: str, namespace: str = "default") -> dict[ServerKey, Path]:
        """Return where each server of a service writes.

        Raises:
            InputError: There is no service of that name.
        """
        servers = self.state(name, namespace).servers
        return {server: self._store.log_path(ServiceKey(namespace, name), server) for server in servers}

    def set_traffic_policy(self, name: str, namespace: str, policy: TrafficPolicy) -> None:
        """Say what is to hold beside a service's shares: mirrored, sticky or matched requests.

        It lasts until it is set anew or the service is deleted, and is no part of the InferenceService.

        Raises:
            InputError: There is no service of that name.
        """
        key = ServiceKey(namespace, name)
        self._read(key)
        self._store.write_policy(key, policy)

    def traffic_policy(self, name: str, namespace: str = "default") -> TrafficPolicy:
        """Return what holds beside a service's shares."""
        return self._store.read_policy(ServiceKey(namespace, name))

    def revision_urls(self, name: str, namespace: str = "default") -> dict[str, str]:
        """Return where each revision answers alone, whatever its share.

        Raises:
            InputError: There is no service of that name.
        """
        key = ServiceKey(namespace, name)
        self._read(key)
        base = f"{self.base_url}{service_prefix(*key)}"
        revisions = self._store.read_state(key).revisions
        return {r.name: f"{base}{revision_path(r.name)}" for r in revisions if r.is_up}

    def read_traffic_statistics(self, name: str, namespace: str = "default") -> TrafficStatistics:
        """Return what Envoy counted of each revision of a service.

        Raises:
            InputError: There is no service of that name.
            TemporaryError: The plane is down.
        """
        key = ServiceKey(namespace, name)
        self._read(key)
        record = self._store.read_record()
        if record is None or record.envoy is None or not self.is_up:
            raise TemporaryError(describe("The serving plane is down", next_step="run `mulgil up`"))
        answer = Envoy(self._store.envoy_folder, self._preferred_port).read_statistics(f"{namespace}/{name}-")
        backends = {r.name: f"{namespace}/{r.name}" for r in self._store.read_state(key).revisions}
        return read_statistics(
            answer, backends, f"{record.envoy.process.boot}/{record.envoy.process.started}"
        )

    def wait_ready(self, name: str, namespace: str, timeout_seconds: float) -> dict[str, Any]:
        """Wait until what was applied last is served.

        Returns:
            The InferenceService.

        Raises:
            InputError: There is none of that name.
            PermanentError: Its server says that it cannot run; with the end of its log.
            TemporaryError: It is not ready in time; with the end of its log.
        """
        key = ServiceKey(namespace, name)
        deadline = time.monotonic() + timeout_seconds
        while True:
            content, state = self._look(key)
            status, generation = state.status, content["metadata"]["generation"]
            # A change of a label alone has no generation of its own.
            is_seen = _has_begun(state, _wanted(content))
            if is_seen and is_ready(status, generation):
                return {**content, "status": status}
            failure = failure_of(status, generation) if is_seen else None
            if failure is not None:
                wrong = f"Revision {self._newest(key)} of {namespace}/{name} cannot be served"
                raise PermanentError(describe(wrong, received=failure))
            if time.monotonic() > deadline:
                raise TemporaryError(
                    describe(
                        f"{namespace}/{name} is not ready after {timeout_seconds:g} s",
                        received=self._newest_log_tail(key) or _last_failure(state) or "an empty log",
                        next_step=f"read {self._log_path}",
                    )
                )
            if not self.is_up and is_stopped(status):
                raise TemporaryError(
                    describe(
                        f"The serving plane was stopped before {namespace}/{name} was ready",
                        next_step="run `mulgil up`",
                    )
                )
            # It may have been killed; what runs went on, but nothing new would come.
            self._ensure_up()
            time.sleep(_LOOK_SECONDS)

    def read_log_tail(self, name: str, namespace: str = "default") -> str:
        """Return the end of the newest revision's log.

        Raises:
            InputError: There is none of that name.
        """
        key = ServiceKey(namespace, name)
        self._read(key)
        return self._newest_log_tail(key)

    @property
    def _log_path(self) -> Path:
        return self._store.supervisor_log_path

    def _newest(self, key: ServiceKey) -> str:
        newest = self._store.read_state(key).newest
        return newest.name if newest else ""

    def _newest_log_tail(self, key: ServiceKey) -> str:
        """Return the end of the log of the newest revision's server that fares worst."""
        newest = self._store.read_state(key).newest
        if newest is None:
            return ""
        server = newest.failed_server or next(iter(newest.servers), None)
        return self._store.read_log_tail(key, ServerKey(newest.name, server.index if server else 0))

    def _ensure_up(self) -> None:
        """See that the plane runs, and by this version's code: another one would leave what it does not know.

        Servers and Envoy go on while one supervisor follows another.
        """
        if self._is_current():
            return
        with self._store.lock(_CLIENT_LOCK):
            if not self._is_current():
                processes.stop_processes(find_supervisors(self._store.folder), STOP_SECONDS)
                self._start_supervisor()

    def _is_current(self) -> bool:
        if is_contained():
            # Who started the container saw to it; from in here it cannot be told.
            return self.is_up
        record = self._store.read_record()
        return record is not None and _runs(record) and record.code == code_version()

    def _start_supervisor(self) -> None:
        if is_contained():
            raise TemporaryError(
                describe(
                    "The serving plane of the machine around this container is down",
                    next_step="run `mulgil up` there",
                )
            )
        keeper = processes.start_process(
            [
                *("/bin/sh", "-c", _KEEP, "keeper"),
                *(sys.executable, "-P", "-m", _SUPERVISOR),
                *("--state-path", str(self._store.folder), "--http-port", str(self._preferred_port)),
            ],
            log_path=self._log_path,
            environment={},
            mark=self._store.folder,
        )
        if not _wait(self._is_current, _UP_SECONDS):
            processes.reap(keeper)
            raise TemporaryError(
                describe(
                    "The serving plane does not come up",
                    received=read_tail(self._log_path),
                    next_step=f"read {self._log_path}",
                )
            )

    def _read(self, key: ServiceKey) -> dict[str, Any]:
        content, state = self._look(key)
        return {**content, "status": state.status}

    def _look(self, key: ServiceKey) -> tuple[dict[str, Any], ServiceState]:
        content = self._store.read_object(key)
        if content is None:
            there = ", ".join("/".join(other) for other in self._store.list_keys()) or "none"
            raise InputError(
                describe(
                    f"There is no {KIND} {key.namespace}/{key.name}",
                    expected=f"one of those deployed: {there}",
                    received=key.name,
                )
            )
        return content, self._store.read_state(key)

    def _check_names(self, key: ServiceKey, service: InferenceService) -> None:
        """Refuse a service whose servers would be called as another's: one would run in the other's place."""
        names = {workload.name for workload in read_wanted(service, 0).workloads}
        for other in self._store.list_keys():
            content = self._store.read_object(other)
            if content is None or other == key or other.namespace != key.namespace:
                continue
            taken = names & _workload_names(content)
            if taken:
                raise InputError(
                    describe(
                        f"The servers of {key.name} and of {other.name} would both be called {min(taken)}",
                        expected="metadata.name and predictor.name that together differ",
                        received=f"metadata.name={key.name}",
                    )
                )


def _merge(
    before: dict[str, Any] | None, service: InferenceService, specification: dict[str, Any]
) -> dict[str, Any]:
    """Write the object as an API server would: its identity stays, and the generation counts changes."""
    known = before["metadata"] if before else {}
    is_changed = before is None or before["spec"] != specification
    return {
        "apiVersion": service.apiVersion,
        "kind": service.kind,
        "metadata": {
            **service.metadata.model_dump(mode="json"),
            "uid": known.get("uid") or str(uuid.uuid4()),
            "creationTimestamp": known.get("creationTimestamp") or write_time(time.time()),
            "generation": known.get("generation", 0) + is_changed,
        },
        "spec": specification,
    }


def _wanted(content: dict[str, Any]) -> Wanted:
    return read_wanted(parse_inference_service(content), content["metadata"]["generation"])


def _workload_names(content: dict[str, Any]) -> set[str]:
    try:
        return {workload.name for workload in _wanted(content).workloads}
    except InputError:
        # Another version of Mulgil took it, and this one does not.
        return set()


def _last_failure(state: ServiceState) -> str:
    failure = None if state.newest is None else state.newest.last_failure
    return "" if failure is None else failure.message


def _has_begun(state: ServiceState, wanted: Wanted) -> bool:
    """Whether the plane has begun with all that is wanted."""
    newest = {workload: state.newest_of(workload.name) for workload in wanted.workloads}
    return all(
        revision is not None and revision.fingerprint == workload.fingerprint
        for workload, revision in newest.items()
    )


def _check_mode(content: dict[str, Any], service: InferenceService) -> None:
    """Refuse the change of form that KServe refuses."""
    try:
        before = parse_inference_service(content)
    except InputError:
        # Another version of Mulgil took it, and this one does not: what is applied now mends it.
        return
    if service.mode is not before.mode:
        name = f"{service.metadata.namespace}/{service.metadata.name}"
        raise InputError(
            describe(
                f"The form of {name} cannot be changed",
                expected=f"{MODE_ANNOTATION}={before.mode}",
                received=f"{MODE_ANNOTATION}={service.mode}",
                next_step=f"delete it first: `mulgil delete isvc {service.metadata.name}`",
            )
        )


def _runs(record: PlaneRecord | None) -> bool:
    return (
        record is not None
        and record.envoy is not None
        and processes.is_alive(record.supervisor)
        and processes.is_alive(record.envoy.process)
    )


def _answers(record: PlaneRecord | None) -> bool:
    """Whether Envoy takes a connection: its process and the supervisor's are not to be seen from here."""
    if record is None or record.envoy is None:
        return False
    try:
        socket.create_connection((HOST, record.envoy.port), _CONNECT_SECONDS).close()
    except OSError:
        return False
    return True


def find_supervisors(folder: Path) -> list[processes.ProcessIdentity]:
    """Return the processes that supervise a plane, whatever its record says; one at most, as they lock it."""
    return [
        process
        for process in processes.find_marked(folder)
        # Not the shell above, in whose words they come later.
        if processes.command_of(process)[1:4] == ["-P", "-m", _SUPERVISOR]
    ]


def _wait(is_over: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not is_over():
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOOK_SECONDS)
    return True
