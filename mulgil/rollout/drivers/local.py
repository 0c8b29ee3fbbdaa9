"""This machine: the local serving plane, which takes the objects of both of KServe's forms."""

from __future__ import annotations

from mulgil.errors import InputError, TemporaryError, describe
from mulgil.local.plane.client import ServingPlane
from mulgil.rollout.drivers import Capabilities
from mulgil.rollout.releases import Form, Manifest, form_of
from mulgil.rollout.sources.plane import PlaneVersions


class LocalDriver:
    """The local serving plane.

    Args:
        plane: The one of Mulgil's home where it is not given.
    """

    name = "local"
    capabilities = Capabilities(can_mirror=True, can_stick=True, can_match_headers=True)

    def __init__(self, plane: ServingPlane | None = None) -> None:
        self._plane = plane or ServingPlane()
        self._versions = PlaneVersions(self._plane)

    def read(self, name: str, namespace: str) -> Manifest | None:
        """Return an InferenceService with its status."""
        try:
            return self._plane.get(name, namespace)
        except InputError:
            return None

    def write(self, manifest: Manifest) -> None:
        """Apply it; the plane leaves alone what is as it was.

        Raises:
            TemporaryError: The plane is down. Who stopped it on purpose does not want it back for a rollout.
        """
        if not self._plane.is_up:
            raise TemporaryError(describe("The serving plane is down", next_step="run `mulgil up`"))
        self._plane.apply(manifest)

    def lead(self, name: str, namespace: str, *, mirror_percent: float, sticky_header: str | None) -> None:
        """Say what holds beside the shares."""
        policy = self._plane.traffic_policy(name, namespace)
        wanted = policy.model_copy(update={"mirror_percent": mirror_percent, "sticky_header": sticky_header})
        if wanted != policy:
            self._plane.set_traffic_policy(name, namespace, wanted)

    def addresses(self, name: str, namespace: str) -> dict[str, str]:
        """Return where each model version answers alone."""
        return {version: url for version, (_, url) in self._versions.urls(name, namespace).items()}

    def require_support(self, manifest: Manifest) -> None:
        """Take everything: this machine's Envoy gives every canary its share."""
        del manifest

    def form(self, manifest: Manifest) -> Form:
        """Return the form that the object is written in."""
        return form_of(manifest)
