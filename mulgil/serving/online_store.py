"""Features by entity out of the SQLite file that Feast wrote, read without Feast.

Importing Feast costs seconds and 200 MB, and its own read half a millisecond. A test with the real Feast
holds that the same entities give the same values.

Source:
    Feast 0.67, `infra/online_stores/sqlite.py` and `infra/key_encoding_utils.py` (entity keys of version 3),
    `protos/feast/types/Value.proto`.
"""

from __future__ import annotations

import math
import sqlite3
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

from mulgil.artifacts import FeatureServiceReference
from mulgil.contract.dictionary import Column, ColumnType
from mulgil.serving.messages import RequestError

Stored = float | int | bool | str | None
Features = dict[str, Stored]

# Feast's `ValueType`.
_STRING, _INT64 = 2, 4
_DOUBLE = struct.Struct("<d")


class OnlineStore:
    """One version of the online store, as its file is at the time of the request.

    Args:
        reference: What the bundle reads by entity.
        entity: The dictionary's entity column.
    """

    def __init__(self, reference: FeatureServiceReference, entity: Column) -> None:
        self.entity = entity
        self._path = Path(reference.online_store)
        # Feast's name for the table: project, then feature view, which shares its name with the service.
        table = f"{reference.project}_{reference.name}".replace('"', '""')
        self._query = f'SELECT feature_name, value FROM "{table}" WHERE entity_key = ?'
        self._write_key = _key_writer(entity)
        self._connection: sqlite3.Connection | None = None
        self._opened: tuple[int, int, int] | None = None

    def read(self, keys: Sequence[int | str]) -> list[Features | None]:
        """Read the features of entities; `None` for one that the store does not know.

        Raises:
            RequestError: 503; the store is not there or broken.
        """
        try:
            connection = self._connect()
            return [self._read_one(connection, key) for key in keys]
        except (OSError, sqlite3.Error, struct.error, ValueError, IndexError) as exc:
            # The client can do nothing about a path; the server's log has it.
            print(f"the online store {self._path} cannot be read: {exc}", flush=True)
            raise RequestError(503, "The online store cannot be read; the server's log says why.") from exc

    def _connect(self) -> sqlite3.Connection:
        # A materialization swaps the file: whoever has the old one open would read old values for ever.
        status = self._path.stat()
        found = (status.st_dev, status.st_ino, status.st_mtime_ns)
        if self._connection is None or found != self._opened:
            if self._connection is not None:
                self._connection.close()
            # The file is never written to where it stands, so that nobody need be kept out by locks, which
            # cost more than the read.
            address = f"{self._path.absolute().as_uri()}?mode=ro&immutable=1"
            self._connection = sqlite3.connect(address, uri=True)
            self._opened = found
        return self._connection

    def _read_one(self, connection: sqlite3.Connection, key: int | str) -> Features | None:
        rows = connection.execute(self._query, (self._write_key(key),)).fetchall()
        return {name: decode_value(value) for name, value in rows} or None


def decode_value(content: bytes) -> Stored:
    """Decode a Feast value of one of the types that features have; an empty one, or NaN, is missing.

    Raises:
        ValueError: It is of another type.
    """
    if not content:
        return None
    match content[0]:
        # A field's number, shifted by three, and its wire type.
        case 0x12:
            length, start = _read_varint(content, 1)
            if start + length != len(content):
                raise ValueError("a text of another length than it says")
            return content[start:].decode()
        case 0x20:
            whole, _ = _read_varint(content, 1)
            return whole - (1 << 64) if whole >> 63 else whole
        case 0x29:
            number = float(_DOUBLE.unpack_from(content, 1)[0])
            return None if math.isnan(number) else number
        case 0x38:
            return content[1] != 0
    raise ValueError(f"a Feast value with the tag {content[0]}")


def _key_writer(entity: Column) -> Callable[[int | str], bytes]:
    """Return what writes an entity's key as Feast stores it."""
    name = entity.name.encode()
    head = struct.pack("<III", 1, _STRING, len(name)) + name
    if entity.type is ColumnType.INTEGER:
        pack = struct.Struct("<IIq").pack
        return lambda key: head + pack(_INT64, 8, key)

    def write_text(key: int | str) -> bytes:
        text = str(key).encode()
        return head + struct.pack("<II", _STRING, len(text)) + text

    return write_text


def _read_varint(content: bytes, place: int) -> tuple[int, int]:
    """Return a number of protobuf's variable length, and where it ends."""
    result = shift = 0
    while True:
        byte = content[place]
        result |= (byte & 0x7F) << shift
        place += 1
        if byte < 0x80:
            return result, place
        shift += 7
