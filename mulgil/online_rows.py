"""One entity's features as one value: the form in which the online store keeps them.

A row is

    1 byte     the form's number
    4 bytes    CRC-32 of the fields' names and types
    8 bytes    event time, in microseconds since 1970
    8 bytes    created time, likewise
    the rest   a MessagePack array of the fields' values in their order; nil is missing

The times are big-endian and counted from the least number on, so that of two rows the newer is the greater
text of bytes, for SQLite's `substr` as for Redis' Lua.

MessagePack, because the decoder that reads it checks each value by the dictionary's types on the way, in the
same call of C that reads a JSON request. The head is compared whole: a row of other fields is refused, never
misread. Feast's `online_store` classes (`feature_repo/`) write it and the model server reads it, which
imports no Feast.

Source:
    https://github.com/msgpack/msgpack/blob/master/spec.md
    Feast 0.67, `infra/key_encoding_utils.py` (entity keys of version 3).
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

# The number of this form, which a bundle names too.
FORM = 1

_HEAD = struct.Struct(">BI")
_TIMES = struct.Struct(">QQ")
# From the least number of 64 bits on, so that times before 1970 are smaller texts too.
_OFFSET = 1 << 63
# Of a source that says no created time: before all that say one.
_NEVER = -_OFFSET

TIMES_START = _HEAD.size
TIMES_BYTES = _TIMES.size
VALUES_START = TIMES_START + TIMES_BYTES

# Feast's names of the types whose values stand in the array as MessagePack's own.
PLAIN_TYPES = ("Float64", "Int64", "Bool", "String")
# A date and time stands in it as text in ISO 8601, as in a request.
MOMENT_TYPE = "UnixTimestamp"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_STRING, _INT64 = 2, 4
_ENCODER = msgspec.msgpack.Encoder()


class OtherFormError(ValueError):
    """A row is of another form or of other fields."""


class RowForm:
    """The rows of one feature view.

    Args:
        fields: Name and Feast's type of each feature, in order.

    Attributes:
        head: What every row begins with.
    """

    def __init__(self, fields: Sequence[tuple[str, str]]) -> None:
        described = ";".join(f"{name}:{kind}" for name, kind in fields)
        self.head = _HEAD.pack(FORM, zlib.crc32(described.encode()))
        self._decode = msgspec.msgpack.Decoder(list[Any]).decode
        self._width = len(fields)

    def pack(self, event: int, created: int | None, values: Sequence[object]) -> bytes:
        """Write a row.

        Args:
            event: When it became true, in microseconds.
            created: When it was written down, likewise; `None` where that is not known.
            values: By field; `None` is missing. None of them is NaN.
        """
        times = _TIMES.pack(event + _OFFSET, (_NEVER if created is None else created) + _OFFSET)
        return self.head + times + _ENCODER.encode(values)

    def pack_all(
        self, events: Sequence[int], created: Sequence[int] | None, columns: Sequence[Sequence[object]]
    ) -> list[bytes]:
        """Write many rows, given by columns."""
        encode, pack, head = _ENCODER.encode, _TIMES.pack, self.head
        stamps: Sequence[int] = [_NEVER] * len(events) if created is None else created
        return [
            head + pack(event + _OFFSET, stamp + _OFFSET) + encode(values)
            for event, stamp, values in zip(events, stamps, zip(*columns, strict=True), strict=True)
        ]

    def unpack(self, row: bytes) -> tuple[int, list[Any]]:
        """Read a row's event time in microseconds, and its values.

        Raises:
            OtherFormError: It is of another form, or of other fields.
        """
        self.check(row)
        try:
            values = self._decode(row[VALUES_START:])
            event, _ = _TIMES.unpack_from(row, TIMES_START)
        except (msgspec.DecodeError, struct.error) as exc:
            raise OtherFormError(f"a row that cannot be read: {exc}") from exc
        if len(values) != self._width:
            raise OtherFormError(f"a row of {len(values)} values where {self._width} are expected")
        return event - _OFFSET, values

    def check(self, row: bytes) -> None:
        """Hold a row's head against the fields.

        Raises:
            OtherFormError: It is of another form, or of other fields.
        """
        if not row.startswith(self.head):
            raise OtherFormError(
                f"a row that begins with {row[:TIMES_START].hex()} where {self.head.hex()} is expected: "
                "it was written for other features; materialize them again"
            )


def event_time(row: bytes) -> str:
    """Return a row's event time as a request would carry it."""
    event, _ = _TIMES.unpack_from(row, TIMES_START)
    return (_EPOCH + timedelta(microseconds=event - _OFFSET)).isoformat()


def write_moment(seconds: int) -> str:
    """Write a date and time as a row has it, from seconds since 1970."""
    return (_EPOCH + timedelta(seconds=seconds)).isoformat()


def read_moment(text: str) -> int:
    """Read one back."""
    return (datetime.fromisoformat(text) - _EPOCH) // timedelta(seconds=1)


def plain(value: object) -> object:
    """Return a value as a row holds it: what is no number is missing."""
    return None if isinstance(value, float) and math.isnan(value) else value


def key_writer(name: str, *, is_integer: bool) -> Callable[[int | str], bytes]:
    """Return what writes the key of an entity with one join key, as Feast serializes it."""
    encoded = name.encode()
    head = struct.pack("<III", 1, _STRING, len(encoded)) + encoded
    if is_integer:
        pack = struct.Struct("<IIq").pack
        return lambda key: head + pack(_INT64, 8, key)

    def write_text(key: int | str) -> bytes:
        text = str(key).encode()
        return head + struct.pack("<II", _STRING, len(text)) + text

    return write_text


def table_name(project: str, view: str) -> str:
    """Return what holds one feature view's rows: SQLite's table, or Redis' hash."""
    return f"{project}_{view}"
