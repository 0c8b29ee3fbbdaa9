"""A folder of images, in folders by class, as a table of path, label and image."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from components.ingest_data.cells import read_typed_cell
from components.ingest_data.locations import is_url
from components.ingest_data.table import Cells, RawTable, number_batches
from mulgil.contract.sources import images_in
from mulgil.errors import InputError, describe

HEADER = ("path", "label", "image")

# Photographs are megabytes. Chosen by eye.
_BATCH_IMAGES = 128


def read_image_folder(location: str) -> RawTable:
    """Read a folder.

    Args:
        location: Its resolved path.

    Returns:
        A row a file, in the order of their paths: the path within the folder, the first folder on it (its
        class), and the file's bytes.

    Raises:
        InputError: It is no folder of this machine, or has no file in it.
    """
    folder = Path(location)
    if is_url(location) or not folder.is_dir():
        raise InputError(
            describe(
                "The source is no folder of images",
                expected="a folder of this machine, with a folder for each class in it",
                received=location,
                next_step="correct `source.location` in project.yaml, or give another: --source PATH",
            )
        )
    files = images_in(folder)
    if not files:
        raise InputError(describe(f"The folder has no file in it: {location}", expected="images"))
    return RawTable(location, HEADER, number_batches(_read(folder, files)), read_typed_cell)


def _read(folder: Path, files: list[Path]) -> Iterator[tuple[Cells, ...]]:
    for start in range(0, len(files), _BATCH_IMAGES):
        some = files[start : start + _BATCH_IMAGES]
        paths = [file.relative_to(folder) for file in some]
        try:
            contents = [file.read_bytes() for file in some]
        except OSError as exc:
            raise InputError(
                describe(
                    f"An image cannot be read: {exc.strerror}", expected="a file", received=str(exc.filename)
                )
            ) from exc
        yield (
            [path.as_posix() for path in paths],
            # A file that is in no folder has no class.
            [path.parts[0] if len(path.parts) > 1 else None for path in paths],
            contents,
        )
