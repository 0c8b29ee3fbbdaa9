"""KServe on Knative, from 0.15 on: revisions and `canaryTrafficPercent`."""

from __future__ import annotations

from mulgil.errors import InputError, describe
from mulgil.rollout.drivers import Capabilities
from mulgil.rollout.drivers.kubernetes_objects import KubernetesObjects, ObjectsApi
from mulgil.rollout.releases import Form, KnativeForm, Manifest, form_of


class KnativeDriver(KubernetesObjects):
    """A cluster whose InferenceServices are Knative services.

    Args:
        api: The API; that of the current context where it is not given.
    """

    name = "knative"
    # Knative's routes have shares and tags, and nothing else.
    capabilities = Capabilities()

    def __init__(self, api: ObjectsApi | None = None) -> None:
        super().__init__(api)

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
