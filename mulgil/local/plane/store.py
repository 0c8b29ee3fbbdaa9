"""The plane's state on the disk: what is wanted, what is known, who runs, and the logs.

Objects are written by clients, everything else by the supervisor, so that neither removes what the other is
just writing; each file is renamed into place.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from mulgil.artifacts import Record, write_text
from mulgil.errors import InputError
from mulgil.local.plane.collector_process import CollectorRecord
from mulgil.local.plane.envoy_process import EnvoyRecord
from mulgil.local.plane.processes import ProcessIdentity
from mulgil.local.plane.revisions import ServerKey, ServiceKey, ServiceState
from mulgil.local.plane.traffic_policy import TrafficPolicy


class PlaneRecord(Record):
    """What runs.

    Attributes:
        supervisor: The process that wrote this.
        envoy: The Envoy in front; `None` until it came up.
        collector: The collector of predictions; `None` until a service asked for it.
        code: Of what supervises, as `code_version` tells it.
    """

    supervisor: ProcessIdentity
    envoy: EnvoyRecord | None
    collector: CollectorRecord | None = None
    code: str = ""


class PlaneStore:
    """The folder of one plane.

    Args:
        folder: Made where it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.envoy_folder = folder / "envoy"
        self.volumes_folder = folder / "volumes"
        self.models_folder = folder / "models"
        self.predictions_folder = folder / "predictions"
        self.supervisor_log_path = folder / "supervisor.log"
        self._objects = folder / "objects"
        self._states = folder / "states"
        self._policies = folder / "policies"
        self._record_path = folder / "plane.json"

    def read_record(self) -> PlaneRecord | None:
        """Return what runs, or ran last; `None` where that was never written, or cannot be read.

        A file that is damaged, or of another version of Mulgil, keeps nobody from going on: who supervises
        begins Envoy and the collector anew.
        """
        try:
            return PlaneRecord.read(self._record_path) if self._record_path.exists() else None
        except InputError:
            return None

    def write_record(self, record: PlaneRecord) -> None:
        """Write down what runs."""
        record.write(self._record_path)

    def list_keys(self) -> list[ServiceKey]:
        """Return every service that is wanted, or not yet gone."""
        paths = (*self._objects.glob("*/*.json"), *self._states.glob("*/*.json"))
        return sorted({ServiceKey(path.parent.name, path.stem) for path in paths})

    def read_object(self, key: ServiceKey) -> dict[str, Any] | None:
        """Return the object; `None` where it is deleted or never was."""
        try:
            text = _path(self._objects, key).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        content: dict[str, Any] = json.loads(text)
        return content

    def write_object(self, key: ServiceKey, content: dict[str, Any]) -> None:
        """Say what is wanted."""
        write_text(_path(self._objects, key), json.dumps(content, indent=2))

    def delete_object(self, key: ServiceKey) -> None:
        """Say that nothing is wanted."""
        _path(self._policies, key).unlink(missing_ok=True)
        _path(self._objects, key).unlink(missing_ok=True)

    def read_state(self, key: ServiceKey) -> ServiceState:
        """Return what is known of a service.

        What another version wrote is not known: its servers end as strays, and the object starts others.
        """
        path = _path(self._states, key)
        try:
            return ServiceState.read(path) if path.exists() else ServiceState()
        except InputError:
            return ServiceState()

    def write_state(self, key: ServiceKey, state: ServiceState) -> None:
        """Write down what is known."""
        state.write(_path(self._states, key))

    def read_policy(self, key: ServiceKey) -> TrafficPolicy:
        """Return what holds beside a service's shares."""
        path = _path(self._policies, key)
        return TrafficPolicy.read(path) if path.exists() else TrafficPolicy()

    def write_policy(self, key: ServiceKey, policy: TrafficPolicy) -> None:
        """Say what is to hold beside a service's shares."""
        policy.write(_path(self._policies, key))

    def forget(self, key: ServiceKey) -> None:
        """Remove what was known of a deleted service; its logs stay."""
        _path(self._states, key).unlink(missing_ok=True)

    def log_path(self, key: ServiceKey, server: ServerKey) -> Path:
        """Return where a server writes."""
        return self.folder / "logs" / key.namespace / f"{server.revision}-{server.number}.log"

    def read_log_tail(self, key: ServiceKey, server: ServerKey, lines: int = 20) -> str:
        """Return the end of a server's log."""
        return read_tail(self.log_path(key, server), lines)

    @contextlib.contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold one of the plane's locks, waiting for it; it ends with the process at the latest."""
        with self._open_lock(name) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @contextlib.contextmanager
    def try_lock(self, name: str) -> Iterator[bool]:
        """Hold one of the plane's locks, or learn that another process does."""
        with self._open_lock(name) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True

    def _open_lock(self, name: str) -> TextIO:
        self.folder.mkdir(parents=True, exist_ok=True)
        return (self.folder / f"{name}.lock").open("w", encoding="utf-8")


def read_tail(path: Path, lines: int = 20) -> str:
    """Return the last lines of a log; nothing where there is none."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def _path(folder: Path, key: ServiceKey) -> Path:
    return folder / key.namespace / f"{key.name}.json"
