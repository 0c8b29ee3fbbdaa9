"""The dataset on disk: a typed Parquet file a split, and the manifest."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from components.ingest_data.columns import ARROW_TYPES
from components.ingest_data.fingerprint import RowsFingerprint
from components.ingest_data.identity import Identities, find_repetitions
from components.ingest_data.splits import Places, SplitKeys
from mulgil.contract.dictionary import DataDictionary
from mulgil.preprocessing.rows import derive_array

# Greater row groups are read faster, smaller ones take less memory; chosen by eye. Of many columns there are
# fewer rows in a group.
_GROUP_ROWS = 1 << 18
_GROUP_CELLS, _LEAST_ROWS = 1 << 23, 1 << 12
_GROUP_IMAGES = 1 << 10


# Of rows that are kept to be taken over: the rows, what tells them apart and what they are divided by.
STORED_ROWS = "rows.parquet"
_IDENTITIES, _KEYS = "identities.npy", "keys.parquet"


class RowStore:
    """Rows on disk in the order of the source, of which only identities and targets are kept in memory.

    Args:
        dictionary: What the columns are.
    """

    def __init__(self, dictionary: DataDictionary) -> None:
        self._files: list[Path] = []
        self._dictionary = dictionary
        has_images = any(column.image for column in dictionary.ingested)
        of_cells = max(_LEAST_ROWS, _GROUP_CELLS // max(1, len(dictionary.ingested)))
        self._group_rows = _GROUP_IMAGES if has_images else min(_GROUP_ROWS, of_cells)
        self._identities: list[Identities] = []
        self._targets: list[pa.RecordBatch] = []
        self._keys: list[pa.Array] = []

    @contextlib.contextmanager
    def written(self, folder: Path) -> Iterator[None]:
        """Keep a file of a folder open while rows are added."""
        path = folder / STORED_ROWS
        with pq.ParquetWriter(path, schema_of(self._dictionary)) as self._writer:
            yield
        self._files.append(path)

    def add(self, rows: pa.RecordBatch, identities: Identities, keys: pa.Array | None) -> None:
        """Add some rows, with what they will be divided by where that is no target."""
        if rows.num_rows:
            self._writer.write_batch(rows)
            self._identities.append(identities)
            if keys is not None:
                self._keys.append(keys)
            names = [column.name for column in self._dictionary.targets]
            self._targets.append(rows.select(names))

    def save(self, folder: Path) -> None:
        """Write what is in memory beside the rows, so that another store can take them over."""
        if self._identities:
            np.save(folder / _IDENTITIES, np.concatenate(self._identities))
        if self._keys:
            pq.write_table(pa.table({"key": pa.chunked_array(self._keys)}), folder / _KEYS)

    def take_over(self, folder: Path) -> None:
        """Take rows that were saved, after those that are here; their file must stay."""
        path = folder / STORED_ROWS
        self._files.append(path)
        if not (folder / _IDENTITIES).exists():
            return
        self._identities.append(np.load(folder / _IDENTITIES))
        with pq.ParquetFile(path) as file:
            self._targets += file.read([column.name for column in self._dictionary.targets]).to_batches()
        if (folder / _KEYS).exists():
            with pq.ParquetFile(folder / _KEYS) as file:
                self._keys += file.read().column(0).chunks

    def find_first(self, *, keeps_repeated: bool = False) -> Places:
        """Return the places of the rows that repeat no earlier one; of all, where those are kept, too."""
        if not self._identities:
            return np.empty(0, dtype=np.int64)
        identities = np.concatenate(self._identities)
        self._identities.clear()
        if keeps_repeated:
            return np.arange(len(identities))
        return np.flatnonzero(~find_repetitions(identities))

    def split_keys_of(self, places: Places) -> SplitKeys:
        """Return what some rows are divided by."""
        schema = pa.schema([(column.name, ARROW_TYPES[column.type]) for column in self._dictionary.targets])
        some = pa.array(places)
        targets = pa.Table.from_batches(self._targets, schema).take(some)
        key = pa.chunked_array(self._keys).take(some).combine_chunks() if self._keys else None
        return SplitKeys([column.combine_chunks() for column in targets.columns], key)

    def divide(
        self, folder: Path, places: Mapping[str, Places], past: Mapping[str, npt.NDArray[np.float64]]
    ) -> tuple[str, Counter[str]]:
        """Write a Parquet file a split.

        Args:
            folder: Where.
            places: The rows of each split, by their place among those that were added.
            past: Columns of the entities' past, a number for each row that was added, NaN where it has none.

        Returns:
            The fingerprint of all, and how often each column has no value.
        """
        total = sum(batch.num_rows for batch in self._targets)
        split_of = np.full(total, len(places), dtype=np.uint8)
        for number, rows in enumerate(places.values()):
            split_of[rows] = number
        fingerprint = RowsFingerprint(self._dictionary)
        missing: Counter[str] = Counter()
        start = 0
        with contextlib.ExitStack() as stack:
            writers = {
                split: stack.enter_context(
                    pq.ParquetWriter(folder / f"{split}.parquet", schema_of(self._dictionary))
                )
                for split in places
            }
            for batch in self.read_groups():
                end = start + batch.num_rows
                batch = self._with_past(batch, {name: column[start:end] for name, column in past.items()})
                among = split_of[start:end]
                start = end
                for number, (split, writer) in enumerate(writers.items()):
                    rows = batch.filter(pa.array(among == number))
                    writer.write_batch(rows)
                    fingerprint.add(split, rows)
                    missing.update({name: rows[name].null_count for name in rows.schema.names})
        return fingerprint.value, missing

    def _with_past(
        self, batch: pa.RecordBatch, past: Mapping[str, npt.NDArray[np.float64]]
    ) -> pa.RecordBatch:
        """Return rows with their entities' past, and what is derived of it."""
        made = {name: pa.array(numbers, from_pandas=True) for name, numbers in past.items()}
        operands = {name: batch[name] for name in batch.schema.names} | made
        for column in self._dictionary.features:
            if column.expression is not None and column.expression.columns & past.keys():
                read = {name: operands[name] for name in column.expression.columns}
                values = derive_array(column.expression, read, batch.num_rows)
                made[column.name] = values.cast(ARROW_TYPES[column.type])
        for name, values in made.items():
            batch = batch.set_column(batch.schema.get_field_index(name), name, values)
        return batch

    def read_groups(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Read all rows, or some columns of them; of many small files several make one group."""
        held: list[pa.RecordBatch] = []
        for path in self._files:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(self._group_rows, columns=columns):
                    held.append(batch)
                    if sum(one.num_rows for one in held) >= self._group_rows:
                        yield _join(held)
                        held = []
        if held:
            yield _join(held)


def _join(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    if len(batches) == 1:
        return batches[0]
    return pa.Table.from_batches(batches).combine_chunks().to_batches()[0]


def schema_of(dictionary: DataDictionary) -> pa.Schema:
    """Return the columns of the dataset's files."""
    return pa.schema([pa.field(column.name, ARROW_TYPES[column.type]) for column in dictionary.ingested])
