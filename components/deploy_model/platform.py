"""What deploying needs of a platform, and a change to it that is taken back where it does not work out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Protocol

from mulgil.errors import MulgilError


class InferencePlatform(Protocol):
    """Where InferenceServices run."""

    def adapt(self, manifest: dict[str, Any]) -> dict[str, Any]:
        """Return a manifest with what only this platform needs."""

    def apply(self, manifest: dict[str, Any]) -> None:
        """Make an InferenceService wanted as the manifest has it."""

    def delete(self, name: str, namespace: str) -> None:
        """Remove an InferenceService."""

    def list(self, namespace: str) -> list[dict[str, Any]]:
        """Return a namespace's InferenceServices."""

    def wait_ready(self, name: str, namespace: str, timeout_seconds: float) -> dict[str, Any]:
        """Wait until what was applied last is served, and return it with its status."""

    def read_log_tail(self, name: str, namespace: str) -> str:
        """Return the end of the newest revision's log."""


@contextlib.contextmanager
def applied(platform: InferencePlatform, manifest: dict[str, Any], timeout_seconds: float) -> Iterator[None]:
    """Apply a manifest; where the block fails, put back what was there before.

    Args:
        platform: Where.
        manifest: The InferenceService.
        timeout_seconds: Longest wait for what was there before to serve again.
    """
    name, namespace = manifest["metadata"]["name"], manifest["metadata"]["namespace"]
    earlier = next((item for item in platform.list(namespace) if item["metadata"]["name"] == name), None)
    platform.apply(manifest)
    try:
        yield
    except BaseException:
        if earlier is None:
            platform.delete(name, namespace)
        else:
            platform.apply(earlier)
            # Where it does not come back, why the block failed is still what the reader must know.
            with contextlib.suppress(MulgilError):
                platform.wait_ready(name, namespace, timeout_seconds)
        raise
