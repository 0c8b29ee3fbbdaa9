"""Images as numbers: a file decoded and brought to a column's form, the same as in the model's graph.

`components.train_model.graph_preprocessing` has these steps as operations of TensorFlow; a differential test
holds the two equal. Each image becomes 8 bits a channel, then grey where the form is grey, then the form's
size, linearly interpolated, where it shrinks with the filter's support widened (antialiasing). The camera's
mark of which side is up is not looked at, nor is transparency.
"""

from __future__ import annotations

import io
import struct
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from mulgil.contract.dictionary import ImageForm

# Of red, green and blue in brightness: ITU-R BT.601.
GREY_WEIGHTS = (0.299, 0.587, 0.114)

# A file of a few bytes can claim to be of any size; 16 megapixels are 50 MB once decoded. Chosen by eye.
MOST_PIXELS = 1 << 24

_FORMATS = ("PNG", "JPEG")
# 8 bits a channel, or fewer; those of more would lose bits, each library in another way.
_MODES = ("1", "L", "LA", "P", "RGB", "RGBA")

EXPECTED_FILE = f"a PNG or JPEG file of 8 bits a channel and at most {MOST_PIXELS:,} pixels"

Floats = npt.NDArray[np.float32]


class UnreadableImageError(ValueError):
    """Bytes or numbers are no image of the column.

    Attributes:
        expected: What would be one.
        received: What came.
    """

    def __init__(self, expected: str, received: str) -> None:
        super().__init__(f"expected {expected}; received {received}")
        self.expected = expected
        self.received = received


def decode_image(content: bytes, form: ImageForm) -> Floats:
    """Decode a file and bring it to a form.

    Args:
        content: PNG or JPEG.
        form: Size and colours.

    Returns:
        Its pixels from 0 to 255, row by row.

    Shapes:
        (form.size,).

    Raises:
        UnreadableImageError: It is no such file, or too large, or damaged.
    """
    image = _open(content)
    try:
        if form.colors == "grey" and image.mode in ("1", "L", "LA"):
            channels = [np.asarray(image.convert("L"), np.float32)]
        else:
            rgb = np.asarray(image.convert("RGB"), np.float32)
            if form.colors == "grey":
                channels = [rgb @ np.array(GREY_WEIGHTS, np.float32)]
            else:
                channels = [rgb[:, :, channel] for channel in range(3)]
    except (OSError, ValueError, SyntaxError, struct.error) as exc:
        raise UnreadableImageError(EXPECTED_FILE, f"one that is damaged: {exc}") from exc
    return np.stack([_resize(channel, form) for channel in channels], axis=-1).reshape(-1)


def measure_image(content: bytes) -> tuple[int, int]:
    """Return a file's height and width.

    Raises:
        UnreadableImageError: It is no such file.
    """
    width, height = _open(content).size
    return height, width


def is_grey(content: bytes) -> bool:
    """Whether a file shows no colour.

    Raises:
        UnreadableImageError: It is no such file, or damaged.
    """
    image = _open(content)
    try:
        if image.mode in ("1", "L", "LA"):
            return True
        rgb = np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, struct.error) as exc:
        raise UnreadableImageError(EXPECTED_FILE, f"one that is damaged: {exc}") from exc
    return bool((rgb == rgb[:, :, :1]).all())


def read_pixels(pixels: Any, form: ImageForm) -> Floats:
    """Read one image from its numbers.

    Args:
        pixels: From 0 to 255, nested by row, column and colour, or flat.
        form: Size and colours, which they must have.

    Shapes:
        (form.size,).

    Raises:
        UnreadableImageError: They are not numbers of this form.
    """
    try:
        numbers = np.asarray(pixels)
        is_numeric = numbers.dtype.kind in "iuf"
    except ValueError:
        is_numeric = False
    if not is_numeric:
        raise UnreadableImageError(describe_pixels(form), "others")
    image: Floats = check_pixels(numbers[np.newaxis], form)[0]
    return image


def check_pixels(images: npt.NDArray[Any], form: ImageForm) -> Floats:
    """Check many images of numbers, and flatten each.

    Shapes:
        (images, size), (images, height, width) of grey ones, or (images, height, width, channels), to
        (images, size).

    Raises:
        UnreadableImageError: They are not of the form, or some number is not from 0 to 255.
    """
    whole = (form.height, form.width, form.channels)
    shapes = [(form.size,), whole, *([whole[:2]] if form.channels == 1 else [])]
    if images.shape[1:] not in shapes:
        raise UnreadableImageError(describe_pixels(form), f"the shape {list(images.shape[1:])}"[:80])
    # A NaN is not within them either.
    if not ((images >= 0) & (images <= 255)).all():
        raise UnreadableImageError(describe_pixels(form), "a number that is none of these")
    return images.reshape(len(images), -1).astype(np.float32)


def describe_pixels(form: ImageForm) -> str:
    """Say what an image of numbers is."""
    depth = "" if form.channels == 1 else f" of {form.channels}"
    return f"{form.height} rows of {form.width} pixels{depth}, or all of them in one list, each from 0 to 255"


def encode_png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Write pixels as a PNG file, which loses nothing.

    Shapes:
        (height, width), or (height, width, 3).
    """
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=1)
    return file.getvalue()


def _open(content: bytes) -> Any:
    """Open a file; its pixels are not decoded yet."""
    # Here and not above: whoever has no images loads no decoder.
    from PIL import Image

    try:
        with warnings.catch_warnings():
            # It would warn of many pixels, which are counted below.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(content), formats=_FORMATS)
    except (Image.DecompressionBombError, OSError, ValueError, SyntaxError) as exc:
        kind = "too many pixels" if isinstance(exc, Image.DecompressionBombError) else "something else"
        raise UnreadableImageError(EXPECTED_FILE, f"{kind} in {len(content)} bytes") from exc
    width, height = image.size
    if width * height > MOST_PIXELS or image.mode not in _MODES:
        raise UnreadableImageError(EXPECTED_FILE, f"{width} x {height} pixels of mode {image.mode}")
    return image


def _resize(channel: Floats, form: ImageForm) -> Floats:
    if channel.shape == (form.height, form.width):
        return channel
    from PIL import Image

    resized = Image.fromarray(channel).resize((form.width, form.height), Image.Resampling.BILINEAR)
    return np.asarray(resized, np.float32)
