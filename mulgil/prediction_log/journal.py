"""The journal: what was acknowledged is on the disk, whoever kills the process.

A segment is a file of records, each behind its length and checksum; a record that a crash tore is the last of
its segment and was never acknowledged.
"""

from __future__ import annotations

import os
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

_HEAD = struct.Struct("<II")
_SUFFIX = ".journal"


class Journal:
    """The segments in one folder. One process writes it.

    Args:
        folder: Made where it is missing.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._last = 0
        self._path, self._file = self._begin()

    def append(self, contents: list[bytes]) -> None:
        """Write records, and return when they are on the disk."""
        start = os.fstat(self._file).st_size
        content = b"".join(_HEAD.pack(len(one), zlib.crc32(one)) + one for one in contents)
        try:
            written = 0
            while written < len(content):
                written += os.write(self._file, content[written:])
            os.fsync(self._file)
        except OSError:
            # A record that is not acknowledged must not stand before one that is.
            os.ftruncate(self._file, start)
            raise

    def turn(self) -> list[Path]:
        """Begin a segment; return those that are finished, the oldest first."""
        if os.fstat(self._file).st_size:
            finished = self._file
            self._path, self._file = self._begin()
            os.close(finished)
        return [path for path in sorted(self._folder.glob(f"*{_SUFFIX}")) if path != self._path]

    def close(self) -> None:
        """Leave the segments as they are."""
        os.close(self._file)

    def _begin(self) -> tuple[Path, int]:
        # Of its time, so that no two are ever called the same, not after a restart either.
        self._last = max(time.time_ns(), self._last + 1)
        path = self._folder / f"{self._last:020d}{_SUFFIX}"
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        folder = os.open(self._folder, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
        return path, file


def read_segment(path: Path) -> Iterator[bytes]:
    """Read a segment's records, up to one that was not written whole."""
    content = path.read_bytes()
    place = 0
    while place + _HEAD.size <= len(content):
        length, checksum = _HEAD.unpack_from(content, place)
        place += _HEAD.size
        record = content[place : place + length]
        if len(record) != length or zlib.crc32(record) != checksum:
            return
        yield record
        place += length
