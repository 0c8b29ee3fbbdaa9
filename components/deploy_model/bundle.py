"""Where a registered model's bundle is on this machine."""

from __future__ import annotations

from pathlib import Path

from mulgil.artifacts import RegisteredModel
from mulgil.errors import InputError, describe


def find_bundle(registered: RegisteredModel) -> Path:
    """Return the path that a storage URI names here.

    Raises:
        InputError: It names a place elsewhere.
    """
    # Taken as it is, nothing unescaped: so does KServe's storage initializer.
    path = registered.storage_uri.removeprefix("file://")
    if not path.startswith("/"):
        raise InputError(
            describe(
                "The bundle is not on this machine",
                expected="file:///… or an absolute path",
                received=f"storage_uri={registered.storage_uri}",
            )
        )
    return Path(path)


def fetch_bundle(registered: RegisteredModel) -> Path:
    """Return a copy of the bundle out of the artifact store.

    Raises:
        MulgilError: The store does not answer, or refuses.
    """
    from mulgil.registry import bundle_directory

    return bundle_directory(registered)
