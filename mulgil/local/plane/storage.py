"""Where a model lies: `storageUri`, as KServe's storage initializer reads it, on this machine.

A path and `file://` are read where they are; `pvc://CLAIM/PATH` in the folder, or the link to one, that has
the claim's name among the plane's volumes; `s3://` is fetched once into a cache.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mulgil.artifacts import fingerprint_json, staged_directory
from mulgil.errors import InputError, TemporaryError, describe

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


def fetch(uri: str, cache: Path) -> Path:
    """Return the folder of a remote model, fetched where it is not there yet.

    It is kept by what the store says of its files, so that a model that was written anew is fetched anew, and
    the same model under two addresses is there once.

    Args:
        uri: As `check_uri` took it.
        cache: Folder of the models that were fetched.

    Raises:
        InputError: There is nothing at that address.
        TemporaryError: The store does not answer.
    """
    # Where it is needed only: most models lie on this machine.
    import fsspec

    try:
        store, root = fsspec.url_to_fs(uri)
        files = store.find(root, detail=True)
    except Exception as exc:
        raise _unreachable(uri, exc) from exc
    if not files:
        raise InputError(describe(f"There is no model at {uri}", expected="the folder of a bundle"))
    known = {_relative(path, root): _content_tag(facts) for path, facts in files.items()}
    folder = cache / fingerprint_json(known)[:32]
    if not folder.is_dir():
        with staged_directory(folder) as staged:
            for path in files:
                place = staged / _relative(path, root)
                place.parent.mkdir(parents=True, exist_ok=True)
                try:
                    store.get_file(path, str(place))
                except Exception as exc:
                    raise _unreachable(uri, exc) from exc
    return folder


def _relative(path: str, root: str) -> str:
    relative = path.removeprefix(root).lstrip("/") or path.rpartition("/")[2]
    if ".." in relative.split("/"):
        raise InputError(describe("A file of the model lies outside it", received=path))
    return relative


def _content_tag(facts: dict[str, Any]) -> list[str]:
    # An object store's ETag stands for the content; a store without one tells only when it was written.
    names = ("size", "ETag") if facts.get("ETag") else ("size", "mtime", "created")
    return [str(facts.get(name, "")) for name in names]


def _unreachable(uri: str, exc: Exception) -> InputError | TemporaryError:
    kind = InputError if isinstance(exc, FileNotFoundError | PermissionError) else TemporaryError
    return kind(
        describe(
            f"The model at {uri} cannot be fetched",
            received=f"{type(exc).__name__}: {exc}",
            next_step="see that AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_ENDPOINT_URL are set in "
            "spec.predictor.model.env, or where the plane was started",
        )
    )
