"""Files that may be compressed, told by their first bytes and not by their names."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from pathlib import Path

from components.ingest_data.foreign import BYTES_JUDGED, refuse_foreign
from components.ingest_data.unreadable import describe_unreadable
from mulgil.errors import InputError, describe

_OPENERS = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}


@contextlib.contextmanager
def open_uncompressed(path: Path, location: str) -> Iterator[io.BufferedReader]:
    """Open a file for reading; what gzip, bzip2 or xz compressed comes as it was.

    Args:
        path: The file.
        location: What messages call it.

    Raises:
        InputError: It cannot be opened, or is neither text nor Parquet; or, while it is read: it was
            compressed and is damaged.
        TemporaryError: While it is read: its disk or its server broke off.
    """
    try:
        with path.open("rb") as raw:
            beginning = raw.read(8)
        opener = next((opener for magic, opener in _OPENERS.items() if beginning.startswith(magic)), None)
        with contextlib.ExitStack() as stack:
            if opener is None:
                file = stack.enter_context(path.open("rb"))
            else:
                file = stack.enter_context(io.BufferedReader(stack.enter_context(opener(path, "rb"))))
            refuse_foreign(file.peek(BYTES_JUDGED)[:BYTES_JUDGED], path, location)
            yield file
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as exc:
        raise _damaged(location, exc) from exc
    except OSError as exc:
        # Of bzip2's decoder this is all that tells.
        if exc.errno is not None:
            raise describe_unreadable(location, exc) from exc
        raise _damaged(location, exc) from exc


def _damaged(location: str, exc: Exception) -> InputError:
    return InputError(
        describe(
            f"The source is compressed and damaged: {location}",
            expected="a file that can be unpacked whole",
            received=str(exc),
            next_step="fetch it again",
        )
    )
