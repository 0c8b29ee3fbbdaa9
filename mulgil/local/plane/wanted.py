"""What an InferenceService asks of the machine: workloads, each with all that its servers are made from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from mulgil.artifacts import fingerprint_json
from mulgil.kserve_modes import DeploymentMode
from mulgil.local.plane.objects import InferenceService, Predictor

# What KServe keeps out of a pod's annotations (`ServiceAnnotationDisallowedList`).
_UNPROPAGATED_ANNOTATIONS = frozenset(
    {
        "autoscaling.knative.dev/min-scale",
        "autoscaling.knative.dev/max-scale",
        "internal.serving.kserve.io/storage-initializer-sourceuri",
        "kubectl.kubernetes.io/last-applied-configuration",
        "modelFormat",
    }
)


@dataclass(frozen=True, eq=False)
class Workload:
    """A predictor that is to run.

    Attributes:
        name: Of Knative's configuration, or of the deployment.
        template: All that a server is made from; another template is another revision.
        replicas: Its servers.
        variant: `predictor.name`.
        percent: A canary's share.
    """

    name: str
    template: dict[str, Any]
    replicas: int
    variant: str = ""
    percent: int = 0

    @property
    def fingerprint(self) -> str:
        """Of the template."""
        return fingerprint_json(self.template)


@dataclass(frozen=True)
class Wanted:
    """What the object asks for.

    Attributes:
        generation: Of the object.
        mode: Which form it has.
        predictor: The stable predictor.
        canary_percent: `canaryTrafficPercent`; `None` where it is not given (Knative form).
        has_tags: Whether the latest revision too has an address of its own (Knative form).
        canaries: Standard form.
    """

    generation: int
    mode: DeploymentMode
    predictor: Workload
    canary_percent: int | None = None
    has_tags: bool = False
    canaries: tuple[Workload, ...] = ()

    @property
    def workloads(self) -> tuple[Workload, ...]:
        """All that is to run."""
        return self.predictor, *self.canaries


def read_wanted(service: InferenceService, generation: int) -> Wanted:
    """Return what an object asks for."""
    predictor = service.spec.predictor
    return Wanted(
        generation=generation,
        mode=service.mode,
        predictor=Workload(
            name=_workload_name(service, predictor),
            template=_template(service, predictor),
            replicas=predictor.minReplicas,
            variant=predictor.name,
        ),
        canary_percent=predictor.canaryTrafficPercent,
        has_tags=service.has_tags,
        canaries=tuple(
            Workload(
                name=_workload_name(service, canary.predictor),
                template=_template(service, canary.merged_into(predictor)),
                replicas=_canary_replicas(predictor, canary.replicas, canary.trafficPercent),
                variant=canary.predictor.name,
                percent=canary.trafficPercent,
            )
            for canary in service.spec.canary
        ),
    )


def _workload_name(service: InferenceService, predictor: Any) -> str:
    middle = f"-{predictor.name}" if predictor.name else ""
    return f"{service.metadata.name}{middle}-predictor"


def _template(service: InferenceService, predictor: Predictor) -> dict[str, Any]:
    """Return all that goes into a pod: a change of a label or an annotation too is a new revision."""
    template: dict[str, Any] = {
        "predictor": predictor.model_dump(
            mode="json",
            # The runtime follows from the protocol.
            exclude={
                "name": True,
                "canaryTrafficPercent": True,
                "minReplicas": True,
                "model": {"runtime"},
            },
            exclude_defaults=True,
        ),
        "labels": service.metadata.labels,
        "annotations": {
            key: value
            for key, value in service.metadata.annotations.items()
            if key not in _UNPROPAGATED_ANNOTATIONS
        },
    }
    if service.mode is DeploymentMode.KNATIVE:
        # An annotation of the revision there, a field of the deployment in the standard form.
        template["minReplicas"] = predictor.minReplicas
    return template


def _canary_replicas(stable: Predictor, replicas: int | None, percent: int) -> int:
    """Return a canary's servers, by default its share of the stable ones' (`canaryReplicaCount`)."""
    return math.ceil(stable.minReplicas * percent / 100) if replicas is None else replicas
