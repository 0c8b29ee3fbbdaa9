"""Some images of each class, side by side."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from mulgil.contract.dictionary import ImageForm
from mulgil.exploration.columns import Explored, words_of
from mulgil.images import UnreadableImageError, decode_image, encode_png, measure_image

# Enough to see what a class looks like and how much it varies. Chosen by eye.
_IMAGES = 8
_CLASSES = 20
# A photograph would make the page heavy.
_LONGEST_SIDE = 96


@dataclass(frozen=True)
class ImageRow:
    """Images of one class.

    Attributes:
        name: The class; empty where there are none, or they are not shown.
        rows: How many there are.
        images: Some of them, as base64 of PNG files, with their rows.
    """

    name: str
    rows: int
    images: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class ImageGrid:
    """A column's images by class.

    Attributes:
        column: Its name.
        classes: The commonest ones.
        others: How many classes are not shown.
    """

    column: str
    classes: tuple[ImageRow, ...]
    others: int


def arrange_images(explored: Explored) -> tuple[ImageGrid, ...]:
    """Return a grid for each column of images that may be shown."""
    return tuple(
        _arrange(explored, name, cells)
        for name, cells in explored.cells.items()
        if pa.types.is_binary(cells.type) and name not in explored.hidden
    )


def _arrange(explored: Explored, name: str, cells: pa.ChunkedArray) -> ImageGrid:
    target = explored.target
    if explored.is_a_number or target.name in explored.hidden:
        by_class = {"": np.arange(explored.looked_at)}
    else:
        by_class = {word: np.flatnonzero(target.codes == code) for code, word in words_of(target).items()}
    commonest = sorted(by_class, key=lambda word: -len(by_class[word]))[:_CLASSES]
    classes = [
        ImageRow(word, len(by_class[word]), _some(explored, cells, by_class[word]))
        for word in by_class
        if word in commonest
    ]
    return ImageGrid(name, tuple(classes), len(by_class) - len(classes))


def _some(
    explored: Explored, cells: pa.ChunkedArray, rows: np.ndarray[tuple[int], np.dtype[np.int64]]
) -> tuple[tuple[int, str], ...]:
    """Return images evenly over a class's rows, those left out that cannot be read."""
    if not len(rows):
        return ()
    places = rows[np.unique(np.linspace(0, len(rows) - 1, _IMAGES).astype(np.int64))]
    shown = []
    for place in places.tolist():
        content = cells[place].as_py()
        try:
            shown.append((explored.row_of(place), _reduce(content)))
        except (UnreadableImageError, TypeError):
            continue
    return tuple(shown)


def _reduce(content: bytes) -> str:
    height, width = measure_image(content)
    shrink = min(1.0, _LONGEST_SIDE / max(height, width))
    form = ImageForm(height=max(1, round(height * shrink)), width=max(1, round(width * shrink)), colors="rgb")
    pixels = np.rint(decode_image(content, form)).astype(np.uint8)
    return b64encode(encode_png(pixels.reshape(form.height, form.width, 3))).decode()
