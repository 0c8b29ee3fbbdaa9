"""KServe's Standard mode with the Gateway API, from 0.21 on: `spec.canary[]`.

Before 0.20 the field is ignored without a word, and in 0.20 a canary's pods start but get no traffic.
"""

from __future__ import annotations

from collections.abc import Callable

from mulgil.cluster.preflight import standard_preflight
from mulgil.rollout.drivers.kubernetes_objects import KubernetesObjects, ObjectsApi
from mulgil.rollout.releases import Manifest, StandardForm


class StandardDriver(KubernetesObjects):
    """A cluster whose InferenceServices are deployments behind a gateway."""

    name, other = "standard", "knative"
    takes = StandardForm

    def __init__(
        self, api: ObjectsApi | None = None, preflight: Callable[[Manifest], None] = standard_preflight
    ) -> None:
        super().__init__(api, preflight)
