"""Files in an object store, by fsspec; what each store raises becomes one error."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import fsspec

from mulgil.errors import TemporaryError, describe


def put_once(address: str, content: bytes) -> bool:
    """Write an object whose address says what is in it.

    Returns:
        Whether it was not there before.

    Raises:
        TemporaryError: The object store does not answer, or refuses.
    """
    with _translated(address):
        files, path = fsspec.url_to_fs(address)
        if files.exists(path):
            return False
        files.makedirs(path.rpartition("/")[0], exist_ok=True)
        files.pipe_file(path, content)
        return True


def list_files(address: str) -> dict[str, int]:
    """Return the sizes of all objects under an address, by their paths below it."""
    with _translated(address):
        files, root = fsspec.url_to_fs(address)
        files.invalidate_cache()
        found = files.find(root, detail=True) if files.exists(root) else {}
        return {path.removeprefix(root).lstrip("/"): int(info["size"]) for path, info in found.items()}


def get(address: str, path: Path) -> None:
    """Copy an object into a file."""
    with _translated(address):
        files, place = fsspec.url_to_fs(address)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(files.cat_file(place))


@contextlib.contextmanager
def _translated(address: str) -> Iterator[None]:
    try:
        yield
    except Exception as exc:
        # Each store has errors of its own, without a common base.
        raise TemporaryError(
            describe(
                "The object store does not do what is asked of it",
                received=f"{address}: {type(exc).__name__}: {exc}"[:500],
                next_step="see the address, and the credentials in this shell (AWS_ACCESS_KEY_ID, "
                "AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL_S3)",
            )
        ) from exc
