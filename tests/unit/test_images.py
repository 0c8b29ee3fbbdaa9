"""Images as numbers: the same from a file here as in the graph, and nothing but images accepted."""

import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from mulgil.contract.dictionary import ImageForm
from mulgil.images import (
    MOST_PIXELS,
    UnreadableImageError,
    decode_image,
    encode_png,
    measure_image,
    read_pixels,
)
from mulgil.preprocessing import FittedColumn, FittedTransform, TransformExecutor

GREY = ImageForm(height=12, width=9)
RGB = ImageForm(height=12, width=9, colors="rgb")


def _write(mode: str, kind: str, size: tuple[int, int] = (31, 23), **options: object) -> bytes:
    """A smooth picture with an edge in it, in any mode of Pillow's."""
    x, y = np.meshgrid(np.linspace(0, 1, size[0]), np.linspace(0, 1, size[1]))
    channels = [255 * x, 255 * y, 255 * (x * y > 0.3)]
    rgb = Image.fromarray(np.stack(channels, axis=-1).astype(np.uint8))
    file = io.BytesIO()
    rgb.convert(mode).save(file, kind, **options)
    return file.getvalue()


FILES = {
    "PNG in colours": _write("RGB", "PNG"),
    "PNG in grey": _write("L", "PNG"),
    "PNG in black and white": _write("1", "PNG"),
    "PNG with a palette": _write("P", "PNG"),
    "PNG with transparency": _write("RGBA", "PNG"),
    "JPEG in colours": _write("RGB", "JPEG", quality=80),
    "JPEG of few colours": _write("RGB", "JPEG", quality=50, subsampling=2),
    "JPEG that is progressive": _write("RGB", "JPEG", progressive=True),
    "JPEG in grey": _write("L", "JPEG"),
    "a smaller one": _write("RGB", "PNG", (5, 4)),
    "a wide one": _write("RGB", "JPEG", (64, 3)),
    "one of the right size": _write("RGB", "PNG", (9, 12)),
}


@pytest.mark.parametrize("form", [GREY, RGB], ids=["grey", "rgb"])
def test_the_graph_and_the_server_read_a_file_alike(form: ImageForm) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    from components.train_model.graph_preprocessing import encode

    column = FittedColumn(name="image", is_categorical=False, fill=None, scale=1 / 255, image=form)
    transform = FittedTransform(columns=(column,))
    files = np.array(list(FILES.values()), dtype=object)
    served = TransformExecutor(transform).apply({"image": files})
    graph = encode(transform, {"image": tf.constant(files)}).numpy()
    assert served.shape == graph.shape == (len(FILES), form.size)
    for name, one, other in zip(FILES, served, graph, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-6, err_msg=name)
        assert one.std() > 0.1, "there is something in it"


def test_pixels_survive_a_png_and_are_what_a_client_may_send() -> None:
    pixels = np.arange(108, dtype=np.uint8).reshape(12, 9)
    read = decode_image(encode_png(pixels), GREY)
    np.testing.assert_array_equal(read, pixels.reshape(-1))
    for form in (pixels.tolist(), pixels.reshape(-1).tolist(), pixels[..., np.newaxis].tolist()):
        np.testing.assert_array_equal(read_pixels(form, GREY), read)
    colored = np.random.default_rng(0).integers(0, 256, (12, 9, 3)).astype(np.uint8)
    np.testing.assert_array_equal(decode_image(encode_png(colored), RGB), colored.reshape(-1))
    np.testing.assert_array_equal(read_pixels(colored.tolist(), RGB), colored.reshape(-1))
    assert measure_image(encode_png(colored)) == (12, 9)


def _claim_size(width: int, height: int) -> bytes:
    """The beginning of a PNG that says it is of some size."""
    content = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    header = struct.pack(">I", 13) + content + struct.pack(">I", zlib.crc32(content))
    return b"\x89PNG\r\n\x1a\n" + header


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no image",
        _write("RGB", "PNG")[:-40],
        _write("RGB", "JPEG")[:300],
        _write("RGB", "GIF"),
        _write("CMYK", "JPEG"),
        _write("I;16", "PNG"),
        _claim_size(60_000, 60_000),
        _claim_size(MOST_PIXELS, 2),
    ],
    ids=["empty", "text", "half a PNG", "half a JPEG", "GIF", "CMYK", "16 bits", "a bomb", "a wide bomb"],
)
def test_what_is_no_image_is_refused(content: bytes) -> None:
    with pytest.raises(UnreadableImageError, match="expected a PNG or JPEG file"):
        decode_image(content, GREY)


@pytest.mark.parametrize(
    "pixels",
    [
        [],
        [[1, 2]],
        ["a"] * 108,
        [256] * 108,
        [-1] * 108,
        [float("nan")] * 108,
        None,
        7,
        {"b64": ""},
        [[1], [2, 3]],
    ],
)
def test_numbers_that_are_no_image_are_refused(pixels: object) -> None:
    with pytest.raises(UnreadableImageError, match="expected 12 rows of 9 pixels"):
        read_pixels(pixels, GREY)
