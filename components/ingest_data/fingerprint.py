"""The fingerprint of a dataset: of its values, whatever the files and the batches that they came in."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from mulgil.contract.dictionary import DataDictionary


class RowsFingerprint:
    """SHA-256 over every value, its column, type and split; the file format has no part in it.

    Args:
        dictionary: What the columns are.
    """

    def __init__(self, dictionary: DataDictionary) -> None:
        self._columns = dictionary.ingested
        self._digests: dict[tuple[str, str, int], hashlib._Hash] = {}

    def add(self, split: str, rows: pa.RecordBatch) -> None:
        """Go on with some rows of a split, in their order."""
        for column in self._columns:
            for part, content in enumerate(_parts(rows[column.name])):
                key = (split, f"{column.name} {column.type}", part)
                self._digests.setdefault(key, hashlib.sha256()).update(content)

    @property
    def value(self) -> str:
        """The fingerprint of all rows so far, in hexadecimal."""
        whole = hashlib.sha256()
        for key in sorted(self._digests):
            whole.update(repr(key).encode() + self._digests[key].digest())
        return whole.hexdigest()


def _parts(values: pa.Array) -> Iterator[bytes | memoryview]:
    """Yield streams of bytes that do not depend on where a batch ends: which are there, then the values."""
    is_text, is_file = pa.types.is_string(values.type), pa.types.is_binary(values.type)
    yield pc.cast(pc.is_valid(values), pa.uint8()).to_numpy().data
    if is_text:
        there = pc.fill_null(values, "")
        yield pc.binary_length(there).to_numpy().data
        yield "".join(there.to_pylist()).encode()
        return
    if is_file:
        there = pc.fill_null(values, b"")
        yield pc.binary_length(there).to_numpy().data
        yield b"".join(there.to_pylist())
        return
    if pa.types.is_floating(values.type):
        yield pc.fill_null(values, 0.0).to_numpy().data
        return
    yield pc.fill_null(pc.cast(values, pa.int64()), 0).to_numpy().data
