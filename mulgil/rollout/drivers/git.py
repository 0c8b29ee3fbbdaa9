"""A cluster that follows a Git repository, as Argo CD and Flux let it: read there, written here.

Each write is a commit of the InferenceService's file; nothing is ever applied. What was committed counts as
observed once the cluster has it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mulgil.rollout.drivers import Driver
from mulgil.rollout.manifest_repository import ManifestRepository
from mulgil.rollout.releases import Form, Manifest, version_of

_PREFIX = "git+"
# A share that was set once stays where a change does not name it.
_SHARES = ("canary", "canaryTrafficPercent")


def git_driver_name(inner: str, folder: Path, *, is_pushed: bool) -> str:
    """Return the name that a record keeps, from which the driver is opened again."""
    return f"{_PREFIX}{inner}{'+push' if is_pushed else ''}:{folder}"


def parse_git_driver_name(name: str) -> tuple[str, Path, bool] | None:
    """Return inner driver, folder and whether commits are pushed; `None` of another driver's name."""
    if not name.startswith(_PREFIX):
        return None
    words, _, folder = name.removeprefix(_PREFIX).partition(":")
    inner, _, push = words.partition("+")
    return inner, Path(folder), bool(push)


class GitDriver:
    """A driver of a cluster, whose writes are commits.

    Args:
        inner: The cluster's; it is read by, and never written by.
        repository: Where the manifests are.
    """

    def __init__(self, inner: Driver, repository: ManifestRepository) -> None:
        self._inner = inner
        self._repository = repository
        self.name = git_driver_name(inner.name, repository.folder, is_pushed=repository.is_pushed)
        self.capabilities = inner.capabilities

    def read(self, name: str, namespace: str) -> Manifest | None:
        """Return the cluster's object; without its status while that is of another than was committed."""
        there = self._inner.read(name, namespace)
        committed = self._repository.read(name, namespace)
        if there is None or committed is None or _has(there["spec"], committed["spec"]):
            return there
        return {**there, "status": {}}

    def write(self, manifest: Manifest) -> None:
        """Commit an object; one that is committed already is left alone."""
        self._repository.commit(manifest, describe_commit(manifest))

    def lead(self, name: str, namespace: str, *, mirror_percent: float, sticky_header: str | None) -> None:
        """Do nothing: clusters have neither among their capabilities."""
        del name, namespace, mirror_percent, sticky_header

    def addresses(self, name: str, namespace: str) -> dict[str, str]:
        """Return where each version answers alone, where the cluster tells."""
        return self._inner.addresses(name, namespace)

    def require_support(self, manifest: Manifest) -> None:
        """Refuse an object whose canary would get no traffic there."""
        self._inner.require_support(manifest)

    def form(self, manifest: Manifest) -> Form:
        """Return the form that the cluster takes."""
        return self._inner.form(manifest)


def describe_commit(manifest: Manifest) -> str:
    """Return the subject of the commit that makes an object wanted."""
    name, predictor = manifest["metadata"]["name"], manifest["spec"]["predictor"]
    canaries = manifest["spec"].get("canary") or []
    if canaries:
        canary = canaries[0]
        version = version_of(
            {**manifest, "spec": {"predictor": canary["predictor"]}, "metadata": {"name": name}}
        )
        return f"Give version {version} of {name} {canary['trafficPercent']} percent of the traffic"
    version, percent = version_of(manifest), predictor.get("canaryTrafficPercent")
    if percent in (None, 100):
        return f"Serve version {version} of {name}"
    return f"Give version {version} of {name} {percent} percent of the traffic"


def _has(there: Any, wanted: Any) -> bool:
    """Whether an object says all that is wanted; what a server fills in besides does not matter."""
    match wanted:
        case dict():
            if not isinstance(there, dict):
                return False
            # A share says something by not being there.
            names = {*wanted, *(name for name in _SHARES if name in there)}
            return all(_has(there.get(name), wanted.get(name)) for name in names)
        case list() if wanted:
            return isinstance(there, list) and len(there) == len(wanted) and all(map(_has, there, wanted))
        case list() | None:
            # A server may leave out what is empty.
            return not there
    return bool(there == wanted)
