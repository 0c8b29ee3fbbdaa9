"""Whether this cluster does what is about to be asked of it; asked before anything is changed."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from typing import Any

from kubernetes import client

from mulgil.cluster.api_server import NotFoundError, connect, request
from mulgil.cluster.checks import require
from mulgil.cluster.kserve_support import KNATIVE, STANDARD, KServe, describe_kserve, judge
from mulgil.errors import PermanentError, describe
from mulgil.kserve_modes import MODE_ANNOTATION

# Kubeflow's own manifests put KServe elsewhere: the ConfigMap `mulgil-settings` says it.
NAMESPACE_VARIABLE = "MULGIL_KSERVE_NAMESPACE"
_CONTROLLER, _SETTINGS = "kserve-controller-manager", "inferenceservice-config"


def kserve_namespace() -> str:
    """Return where KServe's controller runs."""
    return os.environ.get(NAMESPACE_VARIABLE) or "kserve"


def read_groups(api: client.ApiClient) -> frozenset[str]:
    """Return the API groups that the cluster has; everybody who is signed in may ask.

    Raises:
        MulgilError: By kind, see `translated`.
    """
    return frozenset(group["name"] for group in request(api, "GET", "/apis")["groups"])


def read_kserve(api: client.ApiClient, namespace: str) -> KServe:
    """Return what the cluster says of its KServe.

    Raises:
        PermanentError: It is not there, or the account may not look.
        TemporaryError: The API server does not answer.
    """
    try:
        deployment = request(api, "GET", f"/apis/apps/v1/namespaces/{namespace}/deployments/{_CONTROLLER}")
        settings = request(api, "GET", f"/api/v1/namespaces/{namespace}/configmaps/{_SETTINGS}")
    except NotFoundError as exc:
        raise PermanentError(
            describe(
                f"There is no KServe in the namespace {namespace}",
                expected=f"the deployment {_CONTROLLER} and the ConfigMap {_SETTINGS}",
                received=str(exc).splitlines()[0],
                next_step=f"install KServe, or say where it is: {NAMESPACE_VARIABLE}",
            )
        ) from exc
    except PermanentError as exc:
        raise PermanentError(
            describe(
                f"The account may not look at KServe in the namespace {namespace}",
                received=str(exc).splitlines()[0],
                next_step="apply manifests/components/preflight, which lets it read these two objects",
            )
        ) from exc
    containers = deployment["spec"]["template"]["spec"]["containers"]
    controller = next((c for c in containers if c["name"] == "manager"), containers[0])
    return describe_kserve(controller["image"], settings.get("data") or {}, read_groups(api))


def require_canaries(manifest: Mapping[str, Any], api: client.ApiClient | None = None) -> None:
    """Refuse an object whose canary would get no traffic here, and nobody would say so.

    Args:
        manifest: The InferenceService.
        api: A client; that of the current context where it is not given.

    Raises:
        PermanentError: With what the cluster has, and the fix.
        TemporaryError: The API server does not answer.
    """
    kserve = read_kserve(api or connect(), kserve_namespace())
    require(judge(kserve, kserve.mode_of(manifest)))


def require_mode(manifest: Mapping[str, Any], mode: str, api: client.ApiClient | None = None) -> None:
    """Refuse as `require_canaries`, and an object that is deployed here in another mode than a driver's.

    Raises:
        PermanentError: With what the cluster has, and the fix.
        TemporaryError: The API server does not answer.
    """
    kserve = read_kserve(api or connect(), kserve_namespace())
    there = kserve.mode_of(manifest)
    require(judge(kserve, there))
    if there != mode:
        raise PermanentError(
            describe(
                f"{manifest['metadata']['name']} is deployed here in the mode {there}",
                expected=f"the mode {mode}, which this driver writes",
                received=f"deploy.defaultDeploymentMode={kserve.default_mode}",
                next_step=f"use driver={there.lower()}, or set the annotation {MODE_ANNOTATION}",
            )
        )


knative_preflight = functools.partial(require_mode, mode=KNATIVE)
standard_preflight = functools.partial(require_mode, mode=STANDARD)
