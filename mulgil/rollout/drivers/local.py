"""This machine: the local serving plane, which takes the objects of both of KServe's forms."""

from __future__ import annotations

from mulgil.errors import InputError
from mulgil.local.plane.client import ServingPlane
from mulgil.rollout.drivers import Capabilities
from mulgil.rollout.releases import Form, Manifest, form_of


class LocalDriver:
    """The local serving plane.

    Args:
        plane: The one of Mulgil's home where it is not given.
    """

    name = "local"
    capabilities = Capabilities()

    def __init__(self, plane: ServingPlane | None = None) -> None:
        self._plane = plane or ServingPlane()

    def read(self, name: str, namespace: str) -> Manifest | None:
        """Return an InferenceService with its status."""
        try:
            return self._plane.get(name, namespace)
        except InputError:
            return None

    def write(self, manifest: Manifest) -> None:
        """Apply it; the plane leaves alone what is as it was."""
        self._plane.apply(manifest)

    def form(self, manifest: Manifest) -> Form:
        """Return the form that the object is written in."""
        return form_of(manifest)
