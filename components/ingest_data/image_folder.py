"""A folder of images, in folders by class, as a table of path, label and image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from components.ingest_data.cells import read_typed_cell
from components.ingest_data.locations import STORES, copy_names, is_url, open_store
from components.ingest_data.table import Cells, RawTable, number_batches
from mulgil.contract.sources import images_in, is_hidden
from mulgil.errors import InputError, describe

HEADER = ("path", "label", "image")

# Photographs are megabytes. Chosen by eye.
_BATCH_IMAGES = 128


def read_image_folder(location: str, scratch: Path) -> RawTable:
    """Read a folder.

    Args:
        location: Its resolved path, or its address in an object store.
        scratch: Where the files of a store go; it must stay until the rows are read.

    Returns:
        A row a file, in the order of their paths: the path within the folder, the first folder on it (its
        class), and the file's bytes.

    Raises:
        InputError: It is no folder, or has no file in it.
        TemporaryError: The store did not answer.
    """
    is_stored = location.partition("://")[0] in STORES
    folder = Path(location)
    if not is_stored and (is_url(location) or not folder.is_dir()):
        raise InputError(
            describe(
                "The source is no folder of images",
                expected="a folder, here or in an object store, with a folder for each class in it",
                received=location,
                next_step="correct `source.location` in project.yaml, or give another: --source PATH",
            )
        )
    if is_stored:
        with open_store(location) as (store, root):
            names = [PurePosixPath(name).relative_to(root) for name in sorted(store.find(root))]
            paths = [name for name in names if not is_hidden(name)]
            files = copy_names(store, [f"{root}/{path}" for path in paths], scratch)
    else:
        files = images_in(folder)
        paths = [PurePosixPath(file.relative_to(folder)) for file in files]
    if not files:
        raise InputError(describe(f"The folder has no file in it: {location}", expected="images"))
    return tabulate_images(location, paths, files)


def tabulate_images(
    location: str, paths: Sequence[PurePosixPath], files: Sequence[Path], *, depth: int = 0
) -> RawTable:
    """Make a table of image files.

    Args:
        location: What messages call it.
        paths: What the images are called.
        files: Where they are, in the same order.
        depth: How many folders on a path come before the class.
    """
    return RawTable(location, HEADER, number_batches(_read(paths, files, depth)), read_typed_cell)


def _read(paths: Sequence[PurePosixPath], files: Sequence[Path], depth: int) -> Iterator[tuple[Cells, ...]]:
    for start in range(0, len(files), _BATCH_IMAGES):
        some = slice(start, start + _BATCH_IMAGES)
        try:
            contents = [file.read_bytes() for file in files[some]]
        except OSError as exc:
            raise InputError(
                describe(
                    f"An image cannot be read: {exc.strerror}", expected="a file", received=str(exc.filename)
                )
            ) from exc
        yield (
            [path.as_posix() for path in paths[some]],
            # A file that is in no folder has no class.
            [path.parts[depth] if len(path.parts) > depth + 1 else None for path in paths[some]],
            contents,
        )
