"""From the images of a request to the model's input: files are decoded, numbers are taken as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mulgil.contract.dictionary import Column, ImageForm
from mulgil.contract.values import ValueMismatchError, read_json
from mulgil.images import (
    MOST_PIXELS,
    Floats,
    UnreadableImageError,
    check_pixels,
    decode_image,
    measure_image,
    read_pixels,
)
from mulgil.preprocessing import FittedTransform, TransformExecutor
from mulgil.serving.contract_check import (
    MOST_VIOLATIONS,
    ContractViolationError,
    Violation,
    refuse_unknown,
)

# A few kilobytes may decode to gigabytes; so many pixels take a second. Chosen by eye.
_MOST_PIXELS_AT_ONCE = 4 * MOST_PIXELS


class ImageEncoder:
    """Checks and encodes the one column of a model of images.

    Args:
        transform: What was fitted.
        column: The image.
    """

    def __init__(self, transform: FittedTransform, column: Column) -> None:
        assert column.image is not None
        self._column = column
        self._form: ImageForm = column.image
        self._executor = TransformExecutor(transform)
        self._left = 0

    def encode(self, columns: Mapping[str, Sequence[Any] | npt.NDArray[Any]], rows: int) -> Floats:
        """Encode images.

        Args:
            columns: The images by their column's name: each a file, its base64, or its pixels; or all their
                pixels in one array.
            rows: How many.

        Shapes:
            (rows, width).

        Raises:
            ContractViolationError: Another column is there, or something is no image of the form.
        """
        name = self._column.name
        refuse_unknown(columns, (name,), instance=0)
        received = columns.get(name)
        if isinstance(received, np.ndarray) and received.dtype.kind in "iuf":
            try:
                return self._executor.apply({name: check_pixels(received, self._form)})
            except UnreadableImageError:
                # One by one, to say which.
                received = list(received)
        pixels: list[Floats] = []
        self._left = _MOST_PIXELS_AT_ONCE
        violations: list[Violation] = []
        for instance, image in enumerate(received if received is not None else [None] * rows):
            try:
                pixels.append(self._read(image))
            except UnreadableImageError as exc:
                shown = "(hidden)" if self._column.sensitive else exc.received
                violations.append(Violation(instance, name, exc.expected, shown))
            except ValueMismatchError as exc:
                violations.append(Violation(instance, name, exc.expected, exc.received))
            if len(violations) == MOST_VIOLATIONS:
                break
        if violations:
            raise ContractViolationError(violations)
        return self._executor.apply({name: np.stack(pixels)})

    def _read(self, image: Any) -> Floats:
        if image is None:
            raise UnreadableImageError("an image", "nothing")
        if isinstance(image, list | np.ndarray):
            return read_pixels(image, self._form)
        content = read_json(self._column, image)
        assert isinstance(content, bytes)
        height, width = measure_image(content)
        self._left -= height * width
        if self._left < 0:
            raise UnreadableImageError(f"at most {_MOST_PIXELS_AT_ONCE:,} pixels in a request", "more")
        return decode_image(content, self._form)
