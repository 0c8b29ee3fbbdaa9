"""Images of a source as files: whole ones are checked, and those in a column a pixel are written as PNG."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from components.ingest_data.table import Batch, Cells, RawTable
from components.ingest_data.typed_cells import plain
from mulgil.contract.dictionary import Column, DataDictionary, ImageForm
from mulgil.contract.values import ValueMismatchError, read_json
from mulgil.errors import InputError, describe
from mulgil.images import UnreadableImageError, decode_image, describe_pixels, encode_png, read_pixels


def gather_pixels(table: RawTable, dictionary: DataDictionary) -> RawTable:
    """Put the columns of an image's pixels together into one column of files, by the image's name.

    Args:
        table: The source.
        dictionary: What its columns are.

    Raises:
        InputError: Some of an image's columns are there, and others are not.
    """
    for column in dictionary.columns:
        if column.image is not None and column.image.pixel_names and column.name not in table.header:
            table = _gather(table, column, column.image)
    return table


def read_images(column: Column, cells: Cells) -> tuple[pa.Array, dict[int, ValueMismatchError]]:
    """Read cells as image files.

    Args:
        column: The image.
        cells: Each a file's bytes, its base64, pixels, or `{"bytes": …}` as Hugging Face's tables have it.

    Returns:
        The files, null where missing or wrong; and what is wrong, by place.
    """
    files: list[bytes | None] = []
    mistakes: dict[int, ValueMismatchError] = {}
    for place, cell in enumerate(cells.to_pylist() if isinstance(cells, pa.Array) else cells):
        try:
            files.append(_read_image(column, plain(cell)))
        except UnreadableImageError as exc:
            mistakes[place] = ValueMismatchError(column, exc.expected, exc.received)
            files.append(None)
        except ValueMismatchError as exc:
            mistakes[place] = exc
            files.append(None)
    return pa.array(files, pa.binary()), mistakes


def _read_image(column: Column, cell: Any) -> bytes | None:
    if isinstance(cell, _WrongPixels):
        raise UnreadableImageError(describe_pixels(_form(column)), cell.received)
    if isinstance(cell, dict) and "bytes" in cell:
        cell = cell["bytes"]
    if isinstance(cell, list | np.ndarray):
        pixels = read_pixels(cell, _form(column))
        return encode_png(_shape(np.rint(pixels)[np.newaxis], _form(column))[0])
    content = read_json(column, cell)
    if content is None:
        return None
    assert isinstance(content, bytes)
    # All of it, so that one that is cut off is found here and not in training.
    decode_image(content, _form(column))
    return content


class _WrongPixels:
    """Stands in a cell for pixels that are none."""

    def __init__(self, received: str) -> None:
        self.received = received

    def __repr__(self) -> str:
        return self.received


def _form(column: Column) -> ImageForm:
    assert column.image is not None
    return column.image


def _gather(table: RawTable, column: Column, form: ImageForm) -> RawTable:
    names = form.pixel_names
    place_of = {name: place for place, name in enumerate(table.header)}
    missing = [name for name in names if name not in place_of]
    if missing:
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise InputError(
            describe(
                f"{table.location} has not all pixels of {column.name}",
                expected=f"the {len(names)} columns {names[0]} to {names[-1]}",
                received=f"no {missing[0]}{others}",
                next_step="correct `image` of the column in data_dictionary.yaml",
            )
        )
    places = [place_of[name] for name in names]
    kept = [place for place in range(len(table.header)) if place not in set(places)]

    def batches() -> Iterator[Batch]:
        for batch in table.batches:
            images = _write_images([batch.columns[place] for place in places], form)
            yield replace(batch, columns=(*(batch.columns[place] for place in kept), images))

    header = (*(table.header[place] for place in kept), column.name)
    return replace(table, header=header, batches=batches())


def _write_images(pixels: Sequence[Cells], form: ImageForm) -> list[Any]:
    numbers = np.stack([_numbers(cells) for cells in pixels], axis=1)
    # A missing one is NaN, which is not within them either.
    is_right = ((numbers >= 0) & (numbers <= 255) & (np.floor(numbers) == numbers)).all(axis=1)
    images = _shape(np.where(is_right[:, np.newaxis], numbers, 0), form)
    return [
        encode_png(image) if right else _WrongPixels("a pixel that is no whole number from 0 to 255")
        for image, right in zip(images, is_right.tolist(), strict=True)
    ]


def _shape(numbers: npt.NDArray[Any], form: ImageForm) -> npt.NDArray[np.uint8]:
    depth = () if form.channels == 1 else (form.channels,)
    return numbers.astype(np.uint8).reshape(len(numbers), form.height, form.width, *depth)


def _numbers(cells: Cells) -> npt.NDArray[np.float64]:
    """Return a pixel's numbers in all rows, NaN where there is none."""
    if isinstance(cells, pa.Array):
        try:
            return pc.fill_null(pc.cast(cells, pa.float64()), np.nan).to_numpy(zero_copy_only=False)
        except pa.ArrowInvalid:
            cells = cells.to_pylist()
    return np.array([_number(cell) for cell in cells], np.float64)


def _number(cell: Any) -> float:
    try:
        return float(cell)
    except (TypeError, ValueError):
        return float("nan")
