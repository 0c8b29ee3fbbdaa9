"""What of a cluster Mulgil needs, and whether it is there."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import yaml
from kubernetes import client

from mulgil.cluster.api_server import NotFoundError, request
from mulgil.cluster.checks import Check, fail, failed, ok, warn
from mulgil.cluster.kserve_support import NAME as CANARY
from mulgil.cluster.kserve_support import KServe, judge
from mulgil.cluster.preflight import kserve_namespace, read_kserve
from mulgil.errors import MulgilError
from mulgil.home import SOURCE_ROOT

_MANIFESTS = SOURCE_ROOT / "manifests"
_ROLES = ("base/access.yaml", "components/preflight/access.yaml")
_ROLES_OF_MODES = {
    "Knative": "components/knative/access.yaml",
    "Standard": "components/gateway-api/access.yaml",
}
_RUNTIME = "mulgil-model-server"
_SETTINGS = "mulgil-settings"
_APPLY = "kubectl apply -k manifests/overlays/… (see docs/kubernetes.md)"
_SECONDS = 3.0
_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True)
class Permission:
    """Something that an account is to be allowed.

    Attributes:
        group: Of the API; empty for the core.
        resource: With its subresource, where there is one.
        verb: What is done to it.
        namespace: Where.
        name: Of the one object that is meant; empty for all.
    """

    group: str
    resource: str
    verb: str
    namespace: str
    name: str = ""

    def __str__(self) -> str:
        """Return it as kubectl's `auth can-i` takes it."""
        resource, _, below = self.resource.partition("/")
        named = f"{resource}.{self.group}" if self.group else resource
        return f"{self.verb} {named}{f'/{below}' if below else ''} in {self.namespace}"


def check_cluster(api: client.ApiClient, namespace: str, ask_kfp: Callable[[], object]) -> Iterator[Check]:
    """Look at a cluster, one thing after the other.

    Args:
        api: A client for it.
        namespace: Where models are served.
        ask_kfp: Signs in to Kubeflow Pipelines.
    """
    try:
        version = request(api, "GET", "/version")
    except MulgilError as exc:
        yield failed("kubernetes", exc)
        return
    yield ok(
        "kubernetes", f"{version.get('gitVersion', 'of an unknown version')} at {api.configuration.host}"
    )
    kserve: KServe | None = None
    try:
        kserve = read_kserve(api, kserve_namespace())
        yield judge(kserve, kserve.default_mode)
    except MulgilError as exc:
        yield failed(CANARY, exc)
    yield _check_kfp(ask_kfp)
    wanted = list(listed_permissions(kserve.default_mode if kserve else "", namespace, kserve_namespace()))
    yield _check_permissions(api, wanted)
    yield _check_runtime(api, namespace)
    yield from _check_addresses(api, namespace)


def listed_permissions(mode: str, namespace: str, kserve: str) -> Iterator[Permission]:
    """Return what the manifests let the pipeline's account do, and nothing else.

    Args:
        mode: How services are deployed.
        namespace: Where models are served.
        kserve: Where KServe's controller runs.
    """
    roles = [*_ROLES, *([_ROLES_OF_MODES[mode]] if mode in _ROLES_OF_MODES else [])]
    for path in roles:
        for document in yaml.safe_load_all((_MANIFESTS / path).read_text(encoding="utf-8")):
            if document["kind"] != "Role":
                continue
            where = kserve if document["metadata"]["name"] == "mulgil-preflight" else namespace
            for rule in document["rules"]:
                yield from (
                    Permission(group, resource, verb, where, name)
                    for group in rule["apiGroups"]
                    for resource in rule["resources"]
                    for verb in rule["verbs"]
                    for name in rule.get("resourceNames", [""])
                )


def judge_permissions(refused: Iterable[Permission], asked: int) -> Check:
    """Say whether an account may do what the manifests list.

    Args:
        refused: What it may not do.
        asked: How much was asked for.
    """
    missing = ", ".join(map(str, refused))
    if missing:
        return fail(
            "permissions",
            f"this account may not {missing}",
            "bind the role mulgil-pipeline of manifests/base/access.yaml, and those of the components, to it",
        )
    return ok("permissions", f"all {asked} that the manifests list")


def _check_permissions(api: client.ApiClient, wanted: list[Permission]) -> Check:
    try:
        return judge_permissions([item for item in wanted if not _may(api, item)], len(wanted))
    except MulgilError as exc:
        return failed("permissions", exc)


def _may(api: client.ApiClient, item: Permission) -> bool:
    resource, _, below = item.resource.partition("/")
    attributes = {
        "group": item.group,
        "resource": resource,
        "subresource": below,
        "verb": item.verb,
        "namespace": item.namespace,
        "name": item.name,
    }
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {key: value for key, value in attributes.items() if value}},
    }
    answer = request(api, "POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body=review)
    return answer["status"]["allowed"] is True


def _check_kfp(ask: Callable[[], object]) -> Check:
    try:
        ask()
    except MulgilError as exc:
        return failed("kubeflow pipelines", exc)
    return ok("kubeflow pipelines", "the API answers, and knows who asks")


def _check_runtime(api: client.ApiClient, namespace: str) -> Check:
    name = "serving runtimes"
    try:
        listed = request(
            api, "GET", f"/apis/serving.kserve.io/v1alpha1/namespaces/{namespace}/servingruntimes"
        )
    except NotFoundError:
        return fail(name, "the cluster has no ServingRuntime", "install KServe")
    except MulgilError as exc:
        return failed(name, exc)
    return judge_runtimes([item["metadata"]["name"] for item in listed["items"]], namespace)


def judge_runtimes(names: list[str], namespace: str) -> Check:
    """Say whether our model server is among a namespace's runtimes."""
    seen = f"{', '.join(sorted(names)) or 'none'} in {namespace}"
    if _RUNTIME in names:
        return ok("serving runtimes", seen)
    return fail("serving runtimes", seen, f"{_RUNTIME} is missing: {_APPLY}")


def _check_addresses(api: client.ApiClient, namespace: str) -> Iterator[Check]:
    names = ("object store", "redis", "mlflow")
    try:
        data = request(api, "GET", f"/api/v1/namespaces/{namespace}/configmaps/{_SETTINGS}").get("data") or {}
    except NotFoundError:
        yield from (
            fail(name, f"there is no ConfigMap {_SETTINGS} in {namespace} with its address", _APPLY)
            for name in names
        )
        return
    except MulgilError as exc:
        # An account of the pipeline alone may not read it: nothing is known, and nothing is wrong.
        yield from (warn(name, _first_line(exc), "ask as somebody who may read ConfigMaps") for name in names)
        return
    for name, address in find_addresses(data).items():
        yield _check_address(api, name, address)


def find_addresses(data: Mapping[str, str]) -> dict[str, tuple[str, int]]:
    """Return host and port of each store of `mulgil-settings`; an empty host where it names none."""
    region = data.get("AWS_DEFAULT_REGION") or "us-east-1"
    is_s3 = data.get("MULGIL_PROJECTS_URI", "").startswith("s3://")
    objects = data.get("AWS_ENDPOINT_URL_S3") or (f"https://s3.{region}.amazonaws.com" if is_s3 else "")
    redis = data.get("MULGIL_REDIS_ADDRESS", "")
    return {
        "object store": _place(objects),
        "redis": _place(redis if "://" in redis else f"redis://{redis}", 6379),
        "mlflow": _place(data.get("MLFLOW_TRACKING_URI", "")),
    }


def service_of(host: str) -> tuple[str, str] | None:
    """Return name and namespace of the Service that a host is; `None` for one outside the cluster."""
    match host.removesuffix(".cluster.local").split("."):
        case [name, namespace, "svc"]:
            return name, namespace
    return None


def _place(address: str, port: int | None = None) -> tuple[str, int]:
    try:
        parts = urlsplit(address)
        return parts.hostname or "", parts.port or port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        return "", 0


def _check_address(api: client.ApiClient, name: str, place: tuple[str, int]) -> Check:
    host, port = place
    if not host or not port:
        return fail(name, f"{_SETTINGS} has no address of it", "set it in the overlay's mulgil-settings")
    if (service := service_of(host)) is not None:
        return _check_service(api, name, *service)
    try:
        socket.create_connection((host, port), timeout=_SECONDS).close()
    except OSError as exc:
        # The cluster's own network may lead there all the same.
        return warn(
            name, f"{host}:{port} does not answer from here: {exc}", "see that the cluster's nodes reach it"
        )
    return ok(name, f"{host}:{port} answers; credentials were not tried")


def _check_service(api: client.ApiClient, name: str, service: str, namespace: str) -> Check:
    try:
        slices = request(
            api,
            "GET",
            f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices",
            query=(("labelSelector", f"kubernetes.io/service-name={service}"),),
        )["items"]
    except MulgilError as exc:
        return warn(name, _first_line(exc), "ask as somebody who may list EndpointSlices")
    return judge_service(name, f"{service}.{namespace}", slices)


def judge_service(name: str, service: str, slices: Iterable[Mapping[str, Any]]) -> Check:
    """Say whether a Service has a pod that is ready.

    Args:
        name: Of the check.
        service: The Service.
        slices: Its EndpointSlices.
    """
    endpoints = [endpoint for part in slices for endpoint in part.get("endpoints") or ()]
    # Ready is what has no condition that says otherwise, by the API's own words.
    ready = sum((endpoint.get("conditions") or {}).get("ready") is not False for endpoint in endpoints)
    seen = f"{ready} of {len(endpoints)} pods of {service} are ready"
    if ready:
        return ok(name, f"{seen}; credentials were not tried")
    short, _, namespace = service.partition(".")
    return fail(name, seen, f"kubectl -n {namespace} describe service {short}")


def _first_line(exc: MulgilError) -> str:
    return str(exc).splitlines()[0]
