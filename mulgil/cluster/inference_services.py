"""A cluster as the platform that `deploy_model` deploys to."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from kubernetes import client

from mulgil.cluster.api_server import ConflictError, connect, request, translated
from mulgil.cluster.preflight import require_canaries
from mulgil.errors import MulgilError, PermanentError, TemporaryError, describe

Manifest = dict[str, Any]

# What deploying writes is its own; what a rollout writes afterwards is a hand of ours too.
FIELD_MANAGER = "mulgil"
_OURS = "mulgil"
# It may read the bundles: manifests/base/access.yaml.
SERVICE_ACCOUNT = "mulgil-model-server"
_GROUP = "serving.kserve.io/v1beta1"
_LOOK_SECONDS = 2.0
_LOG_LINES = 40
# Which of an object that was read back may be applied again.
_KEPT_METADATA = ("name", "namespace", "labels", "annotations")
# States in which waiting longer helps nobody.
_HOPELESS = (
    "InvalidSpec",
    "InvalidPredictorSpec",
    "RuntimeUnhealthy",
    "NoSupportingRuntime",
    "RuntimeNotRecognized",
)


class ClusterPlatform:
    """The InferenceServices of a cluster.

    Args:
        api: A client; that of the current context where it is not given.
        look_seconds: Between two looks at an object.
        sleep: Waits.
    """

    def __init__(
        self,
        api: client.ApiClient | None = None,
        *,
        look_seconds: float = _LOOK_SECONDS,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._api = api or connect()
        self._look_seconds = look_seconds
        self._sleep = sleep

    def adapt(self, manifest: Manifest) -> Manifest:
        """Return the manifest with the account that may read bundles here.

        Raises:
            PermanentError: A canary of it would get no traffic here, and nobody would say so.
            TemporaryError: The API server does not answer.
        """
        require_canaries(manifest, self._api)
        spec = manifest["spec"]
        predictor = {"serviceAccountName": SERVICE_ACCOUNT, **spec["predictor"]}
        return {**manifest, "spec": {**spec, "predictor": predictor}}

    def apply(self, manifest: Manifest) -> None:
        """Make the fields that the manifest names what it says, and remove those that we named before.

        Source:
            https://kubernetes.io/docs/reference/using-api/server-side-apply.

        Raises:
            ConflictError: Somebody else set one of them.
            InputError: KServe refuses the object, or there is no KServe or no such namespace.
            PermanentError: The account may not do it.
            TemporaryError: The API server does not answer.
        """
        try:
            self._apply(manifest, is_forced=False)
        except ConflictError as exc:
            # A rollout of ours moved the traffic; what is deployed now is meant to take over.
            if not all(manager.startswith(_OURS) for manager in exc.managers):
                raise
            self._apply(manifest, is_forced=True)

    def _apply(self, manifest: Manifest, *, is_forced: bool) -> None:
        metadata = manifest["metadata"]
        wanted = {
            "apiVersion": manifest["apiVersion"],
            "kind": manifest["kind"],
            "metadata": {key: metadata[key] for key in _KEPT_METADATA if key in metadata},
            "spec": manifest["spec"],
        }
        request(
            self._api,
            "PATCH",
            f"{_collection(metadata['namespace'])}/{metadata['name']}",
            query=(
                ("fieldManager", FIELD_MANAGER),
                ("fieldValidation", "Strict"),
                ("force", str(is_forced).lower()),
            ),
            # JSON is YAML.
            body=json.dumps(wanted),
            content_type="application/apply-patch+yaml; charset=utf-8",
        )

    def delete(self, name: str, namespace: str) -> None:
        """Remove an InferenceService, with all that stands for it.

        Raises:
            MulgilError: By kind, see `translated`.
        """
        request(
            self._api,
            "DELETE",
            f"{_collection(namespace)}/{name}",
            query=(("propagationPolicy", "Foreground"),),
        )

    def list(self, namespace: str) -> list[Manifest]:
        """Return a namespace's InferenceServices.

        Raises:
            MulgilError: By kind, see `translated`.
        """
        items: list[Manifest] = request(self._api, "GET", _collection(namespace))["items"]
        return [{"apiVersion": _GROUP, "kind": "InferenceService", **item} for item in items]

    def wait_ready(self, name: str, namespace: str, timeout_seconds: float) -> Manifest:
        """Wait until what was applied last is served, and return it with its status.

        A status is believed once KServe has seen the generation that it is about.

        Raises:
            PermanentError: KServe says that it will never be ready.
            TemporaryError: It is not ready in time; with the conditions that are not met.
        """
        deadline = time.monotonic() + timeout_seconds
        while True:
            service: Manifest = request(self._api, "GET", f"{_collection(namespace)}/{name}")
            status, generation = service.get("status", {}), service["metadata"].get("generation", 1)
            is_seen = status.get("observedGeneration", 0) >= generation
            if is_seen and _is_ready(status):
                return service
            if is_seen and (reason := _hopeless(status)):
                raise PermanentError(describe(f"{name} will never be ready", received=reason))
            if time.monotonic() >= deadline:
                raise TemporaryError(
                    describe(
                        f"{name} is not ready within {timeout_seconds:g} s",
                        expected="the condition Ready",
                        received=_unmet(status) if is_seen else "KServe has not looked at it yet",
                        next_step=f"kubectl -n {namespace} describe inferenceservice {name}",
                    )
                )
            self._sleep(self._look_seconds)

    def read_log_tail(self, name: str, namespace: str) -> str:
        """Return the end of the newest server's log; why there is none where there is none."""
        core = client.CoreV1Api(self._api)
        try:
            with translated(f"reading the log of {namespace}/{name}"):
                pods = core.list_namespaced_pod(
                    namespace, label_selector=f"serving.kserve.io/inferenceservice={name}"
                ).items
                if not pods:
                    return "(no server was started)"
                newest = max(pods, key=lambda pod: pod.metadata.creation_timestamp)
                return str(
                    core.read_namespaced_pod_log(
                        newest.metadata.name, namespace, container="kserve-container", tail_lines=_LOG_LINES
                    )
                )
        except MulgilError as exc:
            return f"(no log: {exc})"


def _collection(namespace: str) -> str:
    return f"/apis/{_GROUP}/namespaces/{namespace}/inferenceservices"


def _is_ready(status: Manifest) -> bool:
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in status.get("conditions", ()))


def _hopeless(status: Manifest) -> str:
    model = status.get("modelStatus", {})
    failure = model.get("lastFailureInfo", {})
    if model.get("transitionStatus") == "InvalidSpec" or failure.get("reason") in _HOPELESS:
        return f"{failure.get('reason', 'InvalidSpec')}: {failure.get('message', '')}"
    return ""


def _unmet(status: Manifest) -> str:
    unmet = [c for c in status.get("conditions", ()) if c.get("status") != "True"]
    return (
        "; ".join(f"{c['type']}={c['status']} {c.get('reason', '')}".strip() for c in unmet) or "no condition"
    )
