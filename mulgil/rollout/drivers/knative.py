"""KServe on Knative, from 0.15 on: revisions and `canaryTrafficPercent`."""

from __future__ import annotations

from collections.abc import Callable

from mulgil.cluster.preflight import knative_preflight
from mulgil.errors import InputError, describe
from mulgil.rollout.drivers import Capabilities
from mulgil.rollout.drivers.kubernetes_objects import KubernetesObjects, ObjectsApi
from mulgil.rollout.releases import Form, KnativeForm, Manifest, form_of


class KnativeDriver(KubernetesObjects):
    """A cluster whose InferenceServices are Knative services.

    Args:
        api: The API; that of the current context where it is not given.
        preflight: Refuses an object whose canary would get nothing on this cluster.
    """

    name = "knative"
    # Knative's routes have shares and tags, and nothing else.
    capabilities = Capabilities()

    def __init__(
        self, api: ObjectsApi | None = None, preflight: Callable[[Manifest], None] = knative_preflight
    ) -> None:
        super().__init__(api, preflight)

    def form(self, manifest: Manifest) -> Form:
        """Return Knative's form.

        Raises:
            InputError: The object is written in the other one.
        """
        form = form_of(manifest)
        if not isinstance(form, KnativeForm):
            raise InputError(
                describe(
                    f"{manifest['metadata']['name']} is written for the Standard mode",
                    expected="an object without the annotation serving.kserve.io/deploymentMode: Standard",
                    received="driver=knative",
                    next_step="use driver=standard",
                )
            )
        return form
