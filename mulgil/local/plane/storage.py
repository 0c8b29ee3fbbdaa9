"""Where a model lies: `storageUri`, as KServe's storage initializer reads it, on this machine.

A path and `file://` are read where they are; `pvc://CLAIM/PATH` in the folder, or the link to one, that has
the claim's name among the plane's volumes; `s3://` is fetched once into a cache.
"""

from __future__ import annotations

import re
from pathlib import Path

from mulgil.errors import InputError, describe

_EXPECTED = "file:///… or an absolute path, pvc://CLAIM/PATH, or s3://BUCKET/PATH"
_REMOTE = re.compile(r"s3://[^/]+/.+")
_CLAIM = re.compile(r"pvc://(?P<claim>[a-z0-9]([-.a-z0-9]*[a-z0-9])?)(?:/(?P<path>.*))?")


def check_uri(uri: str) -> str:
    """Return a storage URI that this machine can read, as it is.

    Raises:
        ValueError: It is none.
    """
    claim = _CLAIM.fullmatch(uri)
    is_inside = claim is not None and ".." not in (claim["path"] or "").split("/")
    if uri.removeprefix("file://").startswith("/") or is_inside or _REMOTE.fullmatch(uri):
        return uri
    raise ValueError(f"expected {_EXPECTED}")


def is_remote(uri: str) -> bool:
    """Whether the model must be fetched first."""
    return _REMOTE.fullmatch(uri) is not None


def local_path(uri: str, volumes: Path) -> Path:
    """Return where a model that is not remote lies.

    Args:
        uri: As `check_uri` took it.
        volumes: Folder of the claims.

    Raises:
        InputError: There is no such claim.
    """
    claim = _CLAIM.fullmatch(uri)
    if claim is None:
        # Taken as it is, nothing unescaped: so does KServe's storage initializer.
        return Path(uri.removeprefix("file://"))
    volume = volumes / claim["claim"]
    if not volume.is_dir():
        raise InputError(
            describe(
                f"There is no volume {claim['claim']} on this machine",
                expected=f"{volume}, a folder or a link to one",
                received=f"storageUri={uri}",
                next_step=f"ln -s /where/it/is {volume}",
            )
        )
    return volume / (claim["path"] or "")
