"""InferenceServices of a cluster, read and written whole.

A merge patch leaves what it does not name, so that a share once set would stay for ever: the object is
replaced, and a write that another one overtook is made again on what is there then.

Source:
    https://kubernetes.io/docs/reference/using-api/api-concepts (resource versions, conflicts).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from kubernetes import client
from kubernetes.client.exceptions import ApiException

from mulgil.errors import InputError, PermanentError, TemporaryError, describe
from mulgil.kserve_modes import MODE_ANNOTATION
from mulgil.rollout.drivers import Capabilities
from mulgil.rollout.releases import Form, KnativeForm, Manifest, form_of, keep_foreign_metadata

GROUP, VERSION, PLURAL = "serving.kserve.io", "v1beta1", "inferenceservices"
# Deploying takes over what a hand of this name wrote; a field of anybody else's is a conflict to it.
FIELD_MANAGER = "mulgil-rollout"
_TRIES = 5
_CONFLICT, _MISSING = 409, 404


class ObjectsApi(Protocol):
    """What is used of `kubernetes.client.CustomObjectsApi`."""

    def get_namespaced_custom_object(
        self, group: str, version: str, namespace: str, plural: str, name: str
    ) -> Any:
        """Return an object."""

    def create_namespaced_custom_object(
        self, group: str, version: str, namespace: str, plural: str, body: Any, *, field_manager: str
    ) -> Any:
        """Create an object."""

    def replace_namespaced_custom_object(
        self,
        group: str,
        version: str,
        namespace: str,
        plural: str,
        name: str,
        body: Any,
        *,
        field_manager: str,
    ) -> Any:
        """Replace an object, where it is still the one that was read."""


class KubernetesObjects:
    """The InferenceServices that an API server has: what both of KServe's forms have in common.

    Args:
        api: The API; that of the current context where it is not given.
        preflight: Refuses an object whose canary would get nothing on this cluster.

    Attributes:
        name: The driver's.
        other: The driver of the other form.
        takes: The form.
    """

    name: str
    other: str
    takes: type[Form]
    # The routes of both forms have shares and tags, and nothing else.
    capabilities = Capabilities()

    def __init__(self, api: ObjectsApi | None, preflight: Callable[[Manifest], None]) -> None:
        self._api = api or _open_api()
        self._preflight = preflight

    def form(self, manifest: Manifest) -> Form:
        """Return the form that this driver takes.

        Raises:
            InputError: The object is written in the other one.
        """
        form = form_of(manifest)
        if not isinstance(form, self.takes):
            raise InputError(
                describe(
                    f"{manifest['metadata']['name']} is written for another mode of KServe",
                    expected=f"the annotation {MODE_ANNOTATION}: {self.name.capitalize()}"
                    + (", or none" if self.takes is KnativeForm else ""),
                    received=f"driver={self.name}",
                    next_step=f"use driver={self.other}",
                )
            )
        return form

    def require_support(self, manifest: Manifest) -> None:
        """Refuse an object whose canary would get no traffic here.

        Raises:
            PermanentError: With what the cluster has, and the fix.
            TemporaryError: The API server does not answer.
        """
        self._preflight(manifest)

    def read(self, name: str, namespace: str) -> Manifest | None:
        """Return an object with its status; `None` where there is none.

        Raises:
            TemporaryError: The API server does not answer.
            PermanentError: It refuses.
        """
        try:
            found: Manifest = self._api.get_namespaced_custom_object(GROUP, VERSION, namespace, PLURAL, name)
        except ApiException as exc:
            if exc.status == _MISSING:
                return None
            raise _translate(exc, f"read {namespace}/{name}") from exc
        return found

    def write(self, manifest: Manifest) -> None:
        """Make the object's labels, annotations and specification those of the manifest.

        Raises:
            TemporaryError: The API server does not answer, or others keep writing.
            PermanentError: It refuses.
        """
        name, namespace = manifest["metadata"]["name"], manifest["metadata"]["namespace"]
        for _ in range(_TRIES):
            there = self.read(name, namespace)
            try:
                if there is None:
                    self._api.create_namespaced_custom_object(
                        GROUP, VERSION, namespace, PLURAL, manifest, field_manager=FIELD_MANAGER
                    )
                    return
                wanted = _laid_over(there, manifest)
                if wanted == there:
                    return
                self._api.replace_namespaced_custom_object(
                    GROUP, VERSION, namespace, PLURAL, name, wanted, field_manager=FIELD_MANAGER
                )
            except ApiException as exc:
                if exc.status != _CONFLICT:
                    raise _translate(exc, f"write {namespace}/{name}") from exc
            else:
                return
        raise TemporaryError(f"Others keep writing {namespace}/{name}; {_TRIES} tries were overtaken.")

    def lead(self, name: str, namespace: str, *, mirror_percent: float, sticky_header: str | None) -> None:
        """Do nothing: neither is among the capabilities."""
        del name, namespace, mirror_percent, sticky_header

    def addresses(self, name: str, namespace: str) -> dict[str, str]:
        """Return nothing: where a version answers alone stands in the status, by its tag."""
        del name, namespace
        return {}


def _laid_over(there: Manifest, manifest: Manifest) -> Manifest:
    """Return the object that is there with what is wanted: what the cluster itself keeps in it stays."""
    return {**there, **keep_foreign_metadata(there, manifest)}


def _open_api() -> ObjectsApi:
    from kubernetes import config

    try:
        config.load_config()
    except config.ConfigException as exc:
        raise PermanentError(
            describe(
                "No cluster is configured here",
                received=str(exc),
                next_step="set KUBECONFIG, or use driver=local",
            )
        ) from exc
    api: ObjectsApi = client.CustomObjectsApi()
    return api


def _translate(exc: ApiException, doing: str) -> TemporaryError | PermanentError:
    text = describe(
        f"The API server does not {doing}", received=f"{exc.status} {exc.reason}: {exc.body or ''}"
    )
    is_passing = not exc.status or exc.status == 429 or exc.status >= 500
    return TemporaryError(text) if is_passing else PermanentError(text)
