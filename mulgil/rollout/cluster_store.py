"""Rollouts in the cluster itself, so that they outlive the container that drives them.

Each is a ConfigMap in the namespace of its InferenceService. Its record is written by server-side apply under
one name, a person's command lies beside it under another, and a Lease says who drives it.

Source:
    https://kubernetes.io/docs/concepts/architecture/leases.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mulgil.cluster.api_server import ChangedError, NotFoundError, connect, request
from mulgil.errors import MulgilError, TemporaryError
from mulgil.rollout.record import RolloutRecord
from mulgil.rollout.store import Command, RolloutStore

SERVICE_LABEL = "mulgil.dev/rollout-of"
FIELD_MANAGER, COMMAND_MANAGER = "mulgil-rollout", "mulgil-command"
_PREFIX = "mulgil-rollout-"
_RECORD, _COMMAND = "record.json.gz", "command"
# A driver that is gone is taken over from after so long. By eye: a pod that starts again takes about as long.
LEASE_SECONDS = 60.0


class ClusterRolloutStore(RolloutStore):
    """The rollouts of one namespace. Pages and verdicts of files are this container's own.

    Args:
        namespace: That of the InferenceServices.
        api: A client; that of the current context where it is not given.
        folder: For what is kept in files.
        lease_seconds: For so long a driver that says nothing is believed to be there.
    """

    def __init__(
        self,
        namespace: str,
        api: Any = None,
        folder: Path | None = None,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        super().__init__(folder)
        self._namespace = namespace
        self._api = api or connect()
        self._lease_seconds = lease_seconds
        self._holder = uuid.uuid4().hex
        self._is_taken_over = False

    def write(self, rollout: RolloutRecord) -> None:
        """Write a rollout down, whole or not at all.

        Raises:
            TemporaryError: Another one drives it since.
        """
        if self._is_taken_over:
            raise TemporaryError(f"Another step has taken the rollout {rollout.rollout_id} over.")
        packed = gzip.compress(rollout.model_dump_json().encode(), mtime=0)
        self._apply(
            rollout.rollout_id,
            FIELD_MANAGER,
            {"binaryData": {_RECORD: base64.b64encode(packed).decode("ascii")}},
            {SERVICE_LABEL: rollout.service, "app.kubernetes.io/part-of": "mulgil"},
        )

    def _exists(self, rollout_id: str) -> bool:
        with contextlib.suppress(NotFoundError):
            return _RECORD in self._get(rollout_id).get("binaryData", {})
        return False

    def _load(self, rollout_id: str) -> RolloutRecord:
        return _unpack(self._get(rollout_id))

    def list(self) -> list[RolloutRecord]:
        """Return all rollouts, the newest first."""
        found = request(self._api, "GET", self._maps(), query=(("labelSelector", SERVICE_LABEL),))
        rollouts = [_unpack(item) for item in found["items"] if _RECORD in (item.get("binaryData") or {})]
        return sorted(rollouts, key=lambda rollout: rollout.created_at, reverse=True)

    def command(self, rollout_id: str, command: Command) -> None:
        """Leave a command for who drives the rollout; the last one counts."""
        self._apply(rollout_id, COMMAND_MANAGER, {"data": {_COMMAND: command.value}}, {})

    def read_command(self, rollout_id: str) -> Command | None:
        """Return the command that lies there; one that is none is as good as no command."""
        left = (self._get(rollout_id).get("data") or {}).get(_COMMAND)
        return Command(left) if left in list(Command) else None

    @contextlib.contextmanager
    def driving(self, rollout_id: str, tries: int = 1) -> Iterator[bool]:
        """Be the one that drives a rollout, or learn that another one is; it ends soon after its process."""
        if not self._take(rollout_id):
            yield False
            return
        self._is_taken_over = False
        is_over = threading.Event()
        renewal = threading.Thread(target=self._renew, args=(rollout_id, is_over), daemon=True)
        renewal.start()
        try:
            yield True
        finally:
            is_over.set()
            renewal.join()
            # Where this fails the lease ends by itself.
            with contextlib.suppress(MulgilError):
                self._put_lease(rollout_id, self._read_lease(rollout_id), "")

    def _take(self, rollout_id: str) -> bool:
        lease = self._read_lease(rollout_id)
        if lease is not None and self._is_held_by_another(lease):
            return False
        try:
            self._put_lease(rollout_id, lease, self._holder)
        except ChangedError:
            # Another one was faster.
            return False
        return True

    def _renew(self, rollout_id: str, is_over: threading.Event) -> None:
        while not is_over.wait(self._lease_seconds / 4):
            # One that could not be renewed is tried again before it ends.
            with contextlib.suppress(MulgilError):
                self._is_taken_over = not self._take(rollout_id)

    def _is_held_by_another(self, lease: dict[str, Any]) -> bool:
        holder = lease["spec"].get("holderIdentity")
        if not holder or holder == self._holder:
            return False
        renewed = datetime.fromisoformat(lease["spec"]["renewTime"])
        return (datetime.now(UTC) - renewed).total_seconds() < self._lease_seconds

    def _read_lease(self, rollout_id: str) -> dict[str, Any] | None:
        with contextlib.suppress(NotFoundError):
            lease: dict[str, Any] = request(self._api, "GET", f"{self._leases()}/{_PREFIX}{rollout_id}")
            return lease
        return None

    def _put_lease(self, rollout_id: str, there: dict[str, Any] | None, holder: str) -> None:
        """Write the lease, where it is still the one that was read."""
        name = f"{_PREFIX}{rollout_id}"
        metadata = {"name": name, "namespace": self._namespace}
        if there is not None:
            metadata["resourceVersion"] = there["metadata"]["resourceVersion"]
        lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": metadata,
            "spec": {
                "holderIdentity": holder,
                "leaseDurationSeconds": max(1, round(self._lease_seconds)),
                "renewTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            },
        }
        if there is None:
            request(self._api, "POST", self._leases(), body=lease)
        else:
            request(self._api, "PUT", f"{self._leases()}/{name}", body=lease)

    def _get(self, rollout_id: str) -> dict[str, Any]:
        found: dict[str, Any] = request(self._api, "GET", f"{self._maps()}/{_PREFIX}{rollout_id}")
        return found

    def _apply(self, rollout_id: str, manager: str, content: dict[str, Any], labels: dict[str, str]) -> None:
        name = f"{_PREFIX}{rollout_id}"
        wanted = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": self._namespace, "labels": labels},
            **content,
        }
        request(
            self._api,
            "PATCH",
            f"{self._maps()}/{name}",
            query=(("fieldManager", manager), ("fieldValidation", "Strict"), ("force", "true")),
            body=json.dumps(wanted),
            content_type="application/apply-patch+yaml; charset=utf-8",
        )

    def _maps(self) -> str:
        return f"/api/v1/namespaces/{self._namespace}/configmaps"

    def _leases(self) -> str:
        return f"/apis/coordination.k8s.io/v1/namespaces/{self._namespace}/leases"


def _unpack(item: dict[str, Any]) -> RolloutRecord:
    packed = base64.b64decode(item["binaryData"][_RECORD])
    return RolloutRecord.model_validate_json(gzip.decompress(packed))
