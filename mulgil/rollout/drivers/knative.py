"""KServe on Knative, from 0.15 on: revisions and `canaryTrafficPercent`."""

from __future__ import annotations

from collections.abc import Callable

from mulgil.cluster.preflight import knative_preflight
from mulgil.rollout.drivers.kubernetes_objects import KubernetesObjects, ObjectsApi
from mulgil.rollout.releases import KnativeForm, Manifest


class KnativeDriver(KubernetesObjects):
    """A cluster whose InferenceServices are Knative services."""

    name, other = "knative", "standard"
    takes = KnativeForm

    def __init__(
        self, api: ObjectsApi | None = None, preflight: Callable[[Manifest], None] = knative_preflight
    ) -> None:
        super().__init__(api, preflight)
