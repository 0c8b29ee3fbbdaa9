"""The V2 protocol's binary tensor extension: tensors as bytes behind the JSON of a request or an answer.

Source:
    https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mulgil.serving.messages import RequestError

LENGTH_HEADER = b"inference-header-content-length"

# Little-endian, as the extension says.
ELEMENT_TYPES = {"BOOL": "?", "UINT8": "u1", "INT32": "<i4", "INT64": "<i8", "FP32": "<f4", "FP64": "<f8"}
_LENGTH = struct.Struct("<I")

# What a tensor's bytes hold: numbers, or text whose empty element is a missing value.
Elements = npt.NDArray[Any] | list[str | None]


def split_body(headers: dict[bytes, bytes], body: bytes) -> tuple[bytes, memoryview]:
    """Part a request's JSON from the tensors' bytes behind it.

    Raises:
        RequestError: 400; the header that says where is not a length within the body.
    """
    announced = headers.get(LENGTH_HEADER)
    if announced is None:
        return body, memoryview(b"")
    if not announced.isdigit() or len(announced) > 18 or int(announced) > len(body):
        raise RequestError(
            400,
            f"Inference-Header-Content-Length: expected at most {len(body)}, the length of the body; "
            f"received {announced[:20].decode('latin-1')}.",
        )
    length = int(announced)
    return body[:length], memoryview(body)[length:]


def read_elements(name: str, datatype: str, count: int, content: memoryview) -> Elements:
    """Read one tensor.

    Args:
        name: For the message.
        datatype: One that the protocol reader knows.
        count: How many elements its shape says.
        content: All its bytes.

    Raises:
        RequestError: 400; the bytes are of another number of elements, or not UTF-8.
    """
    if datatype == "BYTES":
        return _read_texts(name, count, content)
    dtype = np.dtype(ELEMENT_TYPES[datatype])
    if len(content) != count * dtype.itemsize:
        raise RequestError(
            400,
            f"input {name}: expected {count * dtype.itemsize} bytes, {count} values of {datatype}; "
            f"received {len(content)}.",
        )
    return np.frombuffer(content, dtype)


def read_files(name: str, count: int, content: memoryview) -> list[bytes]:
    """Read a BYTES tensor of files, such as images.

    Raises:
        RequestError: 400; the bytes are of another number of files.
    """
    files = _part(count, content)
    if files is None:
        raise RequestError(
            400, f"input {name}: expected {count} files, each after its length in 4 bytes; received others."
        )
    return files


def write_elements(values: Sequence[float] | Sequence[str]) -> bytes:
    """Write an FP32 tensor, or of text a BYTES one."""
    if values and isinstance(values[0], str):
        texts = [str(text).encode() for text in values]
        return b"".join(_LENGTH.pack(len(text)) + text for text in texts)
    return np.asarray(values, ELEMENT_TYPES["FP32"]).tobytes()


def _read_texts(name: str, count: int, content: memoryview) -> list[str | None]:
    parts = _part(count, content)
    if parts is None:
        raise RequestError(
            400, f"input {name}: expected {count} texts, each after its length in 4 bytes; received others."
        )
    try:
        return [part.decode() or None for part in parts]
    except UnicodeDecodeError as exc:
        raise RequestError(
            400, f"input {name}: expected texts in UTF-8, each after its length in 4 bytes."
        ) from exc


def _part(count: int, content: memoryview) -> list[bytes] | None:
    """Part a BYTES tensor's elements; `None` where they are not as many."""
    parts: list[bytes] = []
    place = 0
    while place < len(content) and len(parts) < count:
        if len(content) - place < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(content, place)
        place += _LENGTH.size
        if length > len(content) - place:
            return None
        parts.append(bytes(content[place : place + length]))
        place += length
    return parts if place == len(content) and len(parts) == count else None
