"""How a release is written into an InferenceService, and read back from its status: pure functions of both.

KServe has two forms. In the Knative form one predictor has revisions, and `canaryTrafficPercent` splits
between the newest and the one that was rolled out last. In the Standard form `spec.canary[]` has predictors
of their own, and the one that is promoted gives the stable predictor its name.

Source:
    https://kserve.github.io/website/docs/model-serving/predictive-inference/rollout-strategies/canary, and
    the CRD of KServe 0.21 (`serving.kserve.io_inferenceservices.yaml`) for `spec.canary` and
    `status.canaryStatuses`.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from mulgil.errors import InputError, describe
from mulgil.kserve_modes import MODE_ANNOTATION, DeploymentMode, normalize_mode

Manifest = dict[str, Any]

TAGS_ANNOTATION = "serving.kserve.io/enable-tag-routing"
VERSION_ANNOTATION = "mulgil.dev/model-version"
_CONTAINER = "kserve-container"


@dataclass(frozen=True)
class Sight:
    """What a status says of a release.

    Attributes:
        is_settled: Whether the status is of what was written last, and that is ready.
        failure: Why what was written last cannot be served; `None` where it still may be.
        canary_percent: The candidate's share of the traffic; `None` where it has no place of its own.
        stable_url: Where the stable version alone answers, where there is such an address.
        canary_url: Where the candidate alone answers.
    """

    is_settled: bool
    failure: str | None
    canary_percent: int | None
    stable_url: str | None
    canary_url: str | None


class Form(Protocol):
    """One of KServe's two forms."""

    def split(self, stable: Manifest, candidate: Manifest, percent: int) -> Manifest:
        """Return the object in which the candidate has so many percent."""

    def promote(self, stable: Manifest, candidate: Manifest) -> Manifest:
        """Return the object in which the candidate is the stable version."""

    def restore(self, stable: Manifest, candidate: Manifest) -> tuple[Manifest, ...]:
        """Return the objects, one after the other, that bring the stable version back; the last one is it."""

    def look(self, item: Manifest) -> Sight:
        """Read an object with its status."""


def form_of(manifest: Manifest) -> Form:
    """Return the form that a manifest is written in: Knative's where it does not say."""
    mode = manifest["metadata"].get("annotations", {}).get(MODE_ANNOTATION, "")
    return StandardForm() if normalize_mode(mode) == DeploymentMode.STANDARD else KnativeForm()


def version_of(manifest: Manifest) -> str:
    """Return the model version that an object serves: it tells the arms apart wherever they are measured.

    Raises:
        InputError: The object does not say.
    """
    annotations = manifest["metadata"].get("annotations", {})
    environment = manifest["spec"]["predictor"].get("model", {}).get("env", [])
    named = {variable["name"]: variable.get("value") for variable in environment}
    version = named.get("MODEL_VERSION") or annotations.get(VERSION_ANNOTATION)
    if not version:
        raise InputError(
            describe(
                f"{manifest['metadata']['name']} does not say which model version it serves",
                expected=f"env MODEL_VERSION in spec.predictor.model, or the annotation {VERSION_ANNOTATION}",
                next_step="deploy it with `mulgil run`, or add one of the two",
            )
        )
    return str(version)


class KnativeForm:
    """`spec.predictor.canaryTrafficPercent`."""

    def split(self, stable: Manifest, candidate: Manifest, percent: int) -> Manifest:
        """Write the candidate's predictor and its share in one object, so that it never has more."""
        del stable
        result = _wanted(candidate)
        result["spec"]["predictor"]["canaryTrafficPercent"] = percent
        # So that replayed requests can be sent to either version alone.
        result["metadata"].setdefault("annotations", {})[TAGS_ANNOTATION] = "true"
        return result

    def promote(self, stable: Manifest, candidate: Manifest) -> Manifest:
        """Give the candidate everything."""
        return self.split(stable, candidate, 100)

    def restore(self, stable: Manifest, candidate: Manifest) -> tuple[Manifest, ...]:
        """Take the traffic away at once, then bring the stored object back.

        Written back, the stable version is a new revision, which takes a while to be ready. Without its 0
        percent meanwhile, the route would follow the newest revision that is ready, and that is the
        candidate.
        """
        waiting = _wanted(stable)
        waiting["spec"]["predictor"]["canaryTrafficPercent"] = 0
        return (self.split(stable, candidate, 0), waiting, _wanted(stable))

    def look(self, item: Manifest) -> Sight:
        """Read `status.components.predictor`."""
        status = item.get("status", {})
        component = status.get("components", {}).get("predictor", {})
        targets = component.get("traffic", [])
        latest: Manifest = next((target for target in targets if target.get("latestRevision")), {})
        previous: Manifest = next((target for target in targets if target.get("tag") == "prev"), {})
        created, ready = (component.get(f"latest{which}Revision") for which in ("Created", "Ready"))
        is_current = _is_observed(item)
        return Sight(
            is_settled=is_current and created is not None and created == ready and _is_ready(status),
            failure=_failure_of(status.get("modelStatus", {})) if is_current else None,
            canary_percent=latest.get("percent") if created == ready else None,
            stable_url=previous.get("url"),
            canary_url=latest.get("url") if latest.get("tag") else None,
        )


class StandardForm:
    """`spec.canary[]`, since KServe 0.21."""

    def split(self, stable: Manifest, candidate: Manifest, percent: int) -> Manifest:
        """Put the candidate beside the stable predictor, which stays as it is."""
        result = _wanted(stable)
        predictor = {**copy.deepcopy(candidate["spec"]["predictor"]), "name": _name(candidate)}
        # The canary's servers are KServe's to choose by its share, which of 0 percent would be none: a
        # candidate shows that it runs before it gets the first. The field may not exceed the stable's.
        predictor.pop("minReplicas", None)
        if percent == 0 and result["spec"]["predictor"].get("minReplicas", 1) > 0:
            predictor["minReplicas"] = 1
        # The CRD wants it of a canary, and not of the stable predictor, where KServe's webhook fills it in.
        predictor["model"] = {"name": _CONTAINER, **predictor["model"]}
        result["spec"]["canary"] = [{"predictor": predictor, "trafficPercent": percent}]
        return result

    def promote(self, stable: Manifest, candidate: Manifest) -> Manifest:
        """Give the stable predictor the canary's name and content: its deployment becomes the stable one."""
        del stable
        result = _wanted(candidate)
        result["spec"]["predictor"]["name"] = _name(candidate)
        result["spec"]["canary"] = []
        return result

    def restore(self, stable: Manifest, candidate: Manifest) -> tuple[Manifest, ...]:
        """Bring the stored object back, without a canary."""
        del candidate
        result = _wanted(stable)
        result["spec"]["canary"] = []
        return (result,)

    def look(self, item: Manifest) -> Sight:
        """Read `status.canaryStatuses`."""
        status = item.get("status", {})
        is_current = _is_observed(item)
        wanted = item["spec"].get("canary") or []
        seen = {canary["name"]: canary for canary in status.get("canaryStatuses", [])}
        canary = seen.get(wanted[0]["predictor"]["name"]) if wanted else None
        model = status.get("modelStatus", {}) if canary is None else canary.get("modelStatus", {})
        is_in_place = not wanted or (
            canary is not None
            and canary["ready"]
            and canary["trafficPercent"] == wanted[0].get("trafficPercent", 0)
        )
        return Sight(
            is_settled=is_current and _is_ready(status) and is_in_place,
            failure=_failure_of(model) if is_current else None,
            canary_percent=canary["trafficPercent"] if canary is not None and canary["ready"] else None,
            stable_url=None,
            canary_url=None,
        )


def _wanted(manifest: Manifest) -> Manifest:
    """Return what a user would write: without status and without what a server fills in."""
    metadata = manifest["metadata"]
    kept = {key: metadata[key] for key in ("name", "namespace", "labels", "annotations") if key in metadata}
    return copy.deepcopy({**{key: manifest[key] for key in ("apiVersion", "kind", "spec")}, "metadata": kept})


def strip(manifest: Manifest) -> Manifest:
    """Return the object to store: what brings this version back, with all the traffic."""
    result = _wanted(manifest)
    result["spec"]["predictor"].pop("canaryTrafficPercent", None)
    return result


def keep_foreign_metadata(there: Manifest, manifest: Manifest) -> Manifest:
    """Return what is wanted, with the labels and annotations that others wrote on what is there.

    Args:
        there: The object as it is.
        manifest: The object as it is to be.
    """
    metadata = dict(there["metadata"])
    for key in ("labels", "annotations"):
        ours = manifest["metadata"].get(key, {})
        # Tools and controllers write labels and annotations of their own.
        foreign = {k: v for k, v in metadata.get(key, {}).items() if not _is_ours(k)}
        if foreign or ours:
            metadata[key] = {**foreign, **ours}
    return {**manifest, "metadata": metadata}


def _is_ours(key: str) -> bool:
    return key.startswith("mulgil.dev/") or key == TAGS_ANNOTATION


def _name(candidate: Manifest) -> str:
    return str(candidate["spec"]["predictor"].get("name") or f"v{version_of(candidate)}")


def _is_observed(item: Manifest) -> bool:
    generation = item["metadata"].get("generation")
    return generation is not None and item.get("status", {}).get("observedGeneration") == generation


def _is_ready(status: Mapping[str, Any]) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", []))


def _failure_of(model: Mapping[str, Any]) -> str | None:
    if model.get("transitionStatus") not in ("BlockedByFailedLoad", "InvalidSpec"):
        return None
    return str(model.get("lastFailureInfo", {}).get("message") or model["transitionStatus"])
