"""A project at an address: packed by content on one machine, read by the steps of a cluster on others."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from mulgil.errors import InputError, TemporaryError, describe

# The first moment that a zip file can name: equal contents make equal archives.
_NO_TIME = (1980, 1, 1, 0, 0, 0)
_READABLE = 0o644 << 16
# A project is text; a larger archive is a mistake or an attack.
MAX_BYTES = 64 * 2**20


def pack(files: Mapping[str, bytes]) -> bytes:
    """Return an archive of files by their paths in the project; equal files make equal bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _NO_TIME)
            entry.external_attr = _READABLE
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, files[name])
    return buffer.getvalue()


def project_folder(location: str) -> Path:
    """Return a folder with the project at a location.

    Args:
        location: A path, or the address of an archive such as `s3://mulgil/projects/heart/0a1b2c3d4e5f.zip`.

    Returns:
        The path as it is; of an address a new temporary folder, which ends with the container.

    Raises:
        TemporaryError: The object store does not answer, or does not have it.
        InputError: What is there is no archive of a project.
    """
    if "://" not in location:
        return Path(location)
    folder = Path(tempfile.mkdtemp(prefix="mulgil-project-"))
    try:
        with zipfile.ZipFile(io.BytesIO(_download(location))) as archive:
            entries = archive.infolist()
            if sum(entry.file_size for entry in entries) > MAX_BYTES or not all(map(_is_inside, entries)):
                raise zipfile.BadZipFile("too large, or leads out of its folder")
            archive.extractall(folder)
    except zipfile.BadZipFile as exc:
        raise InputError(
            describe(
                "What is at the project's address is not a packed project",
                expected="an archive that `mulgil submit` wrote",
                received=f"{location}: {exc}",
            )
        ) from exc
    return folder


def _is_inside(entry: zipfile.ZipInfo) -> bool:
    path = PurePosixPath(entry.filename)
    return not path.is_absolute() and ".." not in path.parts


def _download(location: str) -> bytes:
    # Only a step on a cluster comes here; a laptop's images need not have it.
    import fsspec

    try:
        with fsspec.open(location, "rb") as file:
            content = file.read(MAX_BYTES + 1)
    except Exception as exc:
        # Each object store has errors of its own, without a common base.
        raise TemporaryError(
            describe(
                "The project cannot be fetched",
                received=f"{location}: {type(exc).__name__}: {exc}",
                next_step="see that the step's ConfigMap and secret name the object store of `mulgil submit`",
            )
        ) from exc
    if len(content) > MAX_BYTES:
        raise InputError(describe("The packed project is too large", expected=f"at most {MAX_BYTES} bytes"))
    return bytes(content)
