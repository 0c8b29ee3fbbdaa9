"""KServe's Standard mode with the Gateway API, from 0.21 on: `spec.canary[]`.

Before 0.20 the field is ignored without a word, and in 0.20 a canary's pods start but get no traffic.
"""

from __future__ import annotations

from collections.abc import Callable

from mulgil.cluster.preflight import standard_preflight
from mulgil.errors import InputError, describe
from mulgil.rollout.drivers import Capabilities
from mulgil.rollout.drivers.kubernetes_objects import KubernetesObjects, ObjectsApi
from mulgil.rollout.releases import Form, Manifest, StandardForm, form_of


class StandardDriver(KubernetesObjects):
    """A cluster whose InferenceServices are deployments behind a gateway.

    Args:
        api: The API; that of the current context where it is not given.
        preflight: Refuses an object whose canary would get nothing on this cluster.
    """

    name = "standard"
    capabilities = Capabilities()

    def __init__(
        self, api: ObjectsApi | None = None, preflight: Callable[[Manifest], None] = standard_preflight
    ) -> None:
        super().__init__(api, preflight)

    def form(self, manifest: Manifest) -> Form:
        """Return the Standard form.

        Raises:
            InputError: The object is written in the other one.
        """
        form = form_of(manifest)
        if not isinstance(form, StandardForm):
            raise InputError(
                describe(
                    f"{manifest['metadata']['name']} is written for Knative",
                    expected="the annotation serving.kserve.io/deploymentMode: Standard",
                    received="driver=standard",
                    next_step="use driver=knative",
                )
            )
        return form
