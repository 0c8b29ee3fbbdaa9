"""Which KServe, set up how, gives a canary its share: pure decisions.

Two set-ups take a canary's fields, answer that all is well, and send it nothing. They are refused.

Source:
    KServe's releases 0.15 to 0.21: `inferenceservice-config` (`deploy.defaultDeploymentMode`,
    `ingress.enableGatewayApi`), and the measured behaviour of `canaryTrafficPercent` and `spec.canary`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mulgil.cluster.checks import Check, fail, ok
from mulgil.kserve_modes import MODE_ANNOTATION, DeploymentMode, normalize_mode

NAME = "kserve canary"
KNATIVE, STANDARD = DeploymentMode.KNATIVE, DeploymentMode.STANDARD
KNATIVE_GROUP, GATEWAY_GROUP = "serving.knative.dev", "gateway.networking.k8s.io"
_LEAST_KNATIVE, _LEAST_STANDARD = (0, 15), (0, 21)
# A digest may follow; a registry's port is no tag.
_TAG = re.compile(r":v?(?P<major>\d+)\.(?P<minor>\d+)[^:/@]*(?:@[^/]*)?$")

Version = tuple[int, int]


@dataclass(frozen=True)
class KServe:
    """A cluster's KServe.

    Attributes:
        version: Its release; `None` where no image has it as a tag.
        image: The controller's image.
        default_mode: How a service is deployed that says nothing; empty where the settings do not say it.
        ingress: How requests come in without the Gateway API: Istio's gateway or the ingress class.
        is_gateway_api_on: Whether KServe writes routes of the Gateway API.
        groups: API groups that the cluster has.
    """

    version: Version | None
    image: str
    default_mode: str
    ingress: str
    is_gateway_api_on: bool
    groups: frozenset[str]

    def mode_of(self, manifest: Mapping[str, Any]) -> str:
        """Return how an object is deployed here."""
        said = (manifest["metadata"].get("annotations") or {}).get(MODE_ANNOTATION, "")
        return normalize_mode(said) or self.default_mode

    def __str__(self) -> str:
        """Return all in a line."""
        gateway = "on" if self.is_gateway_api_on else "off"
        is_there = "there" if GATEWAY_GROUP in self.groups else "not installed"
        return (
            f"{_written(self.version)}, mode {self.default_mode or 'unknown'}, ingress "
            f"{self.ingress or 'unknown'}, Gateway API {gateway} in KServe and {is_there}"
        )


def parse_version(image: str) -> Version | None:
    """Return the release that an image's tag names; `None` for a digest alone, `latest` or a branch."""
    found = _TAG.search(image)
    return (int(found["major"]), int(found["minor"])) if found else None


def describe_kserve(image: str, settings: Mapping[str, str], groups: frozenset[str]) -> KServe:
    """Put together what a cluster says of its KServe.

    Args:
        image: The controller's.
        settings: Data of the ConfigMap `inferenceservice-config`.
        groups: API groups that the cluster has.
    """
    ingress = _read(settings, "ingress")
    # An image pinned by digest has no tag; what is installed together has one release.
    images = [
        image,
        *(str(_read(settings, part).get("image", "")) for part in ("storageInitializer", "agent")),
    ]
    return KServe(
        version=next(filter(None, map(parse_version, images)), None),
        image=image,
        default_mode=normalize_mode(str(_read(settings, "deploy").get("defaultDeploymentMode", ""))),
        ingress=str(
            ingress.get("kserveIngressGateway")
            or ingress.get("ingressGateway")
            or ingress.get("ingressClassName")
            or ""
        ),
        is_gateway_api_on=ingress.get("enableGatewayApi") is True,
        groups=groups,
    )


def judge(kserve: KServe, mode: str) -> Check:
    """Say whether a canary that is deployed in a mode gets its share here.

    Args:
        kserve: What the cluster has.
        mode: The mode.
    """
    seen = f"KServe {kserve}"
    if kserve.version is None:
        return fail(
            NAME,
            f"{seen}; the controller's image is {kserve.image}",
            "give the controller's image its release as a tag: some releases ignore a canary silently",
        )
    match mode:
        case "Knative":
            return _judge_knative(kserve, seen)
        case "Standard":
            return _judge_standard(kserve, seen)
    return fail(
        NAME,
        f"{seen}; asked for the mode {mode or 'that nobody names'}",
        f"set deploy.defaultDeploymentMode of inferenceservice-config to {KNATIVE} or {STANDARD}",
    )


def _judge_knative(kserve: KServe, seen: str) -> Check:
    if kserve.version is None or kserve.version < _LEAST_KNATIVE:
        return fail(NAME, seen, "update KServe to 0.15 or newer")
    if KNATIVE_GROUP not in kserve.groups:
        return fail(
            NAME,
            f"{seen}; Knative Serving is not installed",
            "install Knative Serving, or set deploy.defaultDeploymentMode to Standard",
        )
    return ok(NAME, f"{seen}: revisions share by canaryTrafficPercent")


def _judge_standard(kserve: KServe, seen: str) -> Check:
    if kserve.version is None or kserve.version < (0, 20):
        return fail(
            NAME,
            f"{seen}: the Standard mode before 0.20 ignores a canary silently",
            "update KServe to 0.21 or newer, or deploy in the mode Knative",
        )
    if kserve.version < _LEAST_STANDARD:
        return fail(
            NAME,
            f"{seen}: in the Standard mode of 0.20 a canary's pods start but get no traffic",
            "update KServe to 0.21 or newer, or deploy in the mode Knative",
        )
    if not kserve.is_gateway_api_on:
        return fail(
            NAME,
            f"{seen}: without the Gateway API nothing splits the traffic",
            "set ingress.enableGatewayApi of inferenceservice-config to true",
        )
    if GATEWAY_GROUP not in kserve.groups:
        return fail(NAME, seen, "install the Gateway API and a gateway that serves it")
    return ok(NAME, f"{seen}: routes share by spec.canary")


def _read(settings: Mapping[str, str], key: str) -> Mapping[str, Any]:
    try:
        found = json.loads(settings.get(key, "{}"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _written(version: Version | None) -> str:
    return "of an unknown version" if version is None else ".".join(map(str, version))
