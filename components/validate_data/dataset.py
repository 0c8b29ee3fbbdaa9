"""The ingested dataset, read a column or a batch of rows at a time."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mulgil.artifacts import DATASET_MANIFEST, SPLITS, DatasetManifest
from mulgil.errors import InputError, describe

# Four times as many take 0.2 GB more of 600,000 rows x 22, for less than a tenth less of CPU time.
_BATCH_ROWS = 1 << 16


class Rows(Protocol):
    """Rows of which one column is looked at at a time: an Arrow table, or a split on disk."""

    @property
    def schema(self) -> pa.Schema:
        """The columns."""

    @property
    def num_rows(self) -> int:
        """How many rows there are."""

    def __getitem__(self, name: str) -> pa.ChunkedArray:
        """Return a column's values."""


class StoredSplit:
    """A split's Parquet file.

    Args:
        path: The file.

    Raises:
        InputError: It is missing, or is no Parquet file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._open() as file:
            self.schema: pa.Schema = file.schema_arrow
            self.num_rows: int = file.metadata.num_rows

    def __reduce__(self) -> tuple[type[StoredSplit], tuple[Path]]:
        """Let another process open the file for itself."""
        return StoredSplit, (self._path,)

    def __getitem__(self, name: str) -> pa.ChunkedArray:
        """Read a column."""
        with self._translated():
            return self._columns.read(columns=[name]).column(0)

    def batches(self, columns: Collection[str]) -> Iterator[pa.RecordBatch]:
        """Read the rows in batches, at least one, with some columns in the order of the file."""
        names = [name for name in self.schema.names if name in columns]
        with self._open() as file:
            is_empty = True
            for batch in file.iter_batches(_BATCH_ROWS, columns=names):
                is_empty = False
                yield batch
            if is_empty:
                yield _no_rows(self.schema, names)

    @functools.cached_property
    def _columns(self) -> pq.ParquetFile:
        # Opened once: that takes as long as the table is wide, and columns are read one by one.
        return pq.ParquetFile(self._path)

    @contextlib.contextmanager
    def _open(self) -> Iterator[pq.ParquetFile]:
        # Not pq.read_table, which takes a folder named `a=b` on the way for one more column.
        with self._translated(), pq.ParquetFile(self._path) as file:
            yield file

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as exc:
            raise InputError(
                describe(f"{self._path} does not exist", expected="a directory written by ingest_data")
            ) from exc
        except (OSError, pa.ArrowException) as exc:
            raise InputError(describe(f"{self._path} is not a Parquet file", received=str(exc))) from exc


class PartOfSplits:
    """Some rows of every split, one split after the other.

    Args:
        splits: The splits.
        ranges: Of each split the first row and the one after the last.
    """

    def __init__(self, splits: Mapping[str, StoredSplit], ranges: Mapping[str, tuple[int, int]]) -> None:
        self._splits = splits
        self._ranges = ranges
        self.schema: pa.Schema = next(iter(splits.values())).schema
        self.num_rows = sum(end - start for start, end in ranges.values())

    def batches(self, columns: Collection[str]) -> Iterator[pa.RecordBatch]:
        """Read the rows in batches, at least one, with some columns in the order of the files."""
        for split, stored in self._splits.items():
            start, end = self._ranges[split]
            first = 0
            for batch in stored.batches(columns):
                low, high = max(start - first, 0), min(end - first, batch.num_rows)
                yield batch.slice(low, max(high - low, 0))
                first += batch.num_rows


@dataclass(frozen=True)
class Dataset:
    """What `ingest_data` wrote.

    Attributes:
        manifest: Its record.
        splits: The rows of each split, by its name.
    """

    manifest: DatasetManifest
    splits: dict[str, StoredSplit]


def read_dataset(path: Path) -> Dataset:
    """Open a dataset.

    Raises:
        InputError: A file is missing or is not what its name says, or the manifest counts other rows.
    """
    manifest = DatasetManifest.read(path / DATASET_MANIFEST)
    splits = {split: StoredSplit(path / f"{split}.parquet") for split in SPLITS}
    rows = {split: stored.num_rows for split, stored in splits.items()}
    if rows != manifest.rows:
        raise InputError(
            describe(
                f"{path} is not what its manifest says",
                expected=f"rows={manifest.rows}",
                received=f"rows={rows}",
                next_step="run ingest_data again",
            )
        )
    return Dataset(manifest, splits)


def as_numbers(splits: Mapping[str, pa.ChunkedArray]) -> dict[str, npt.NDArray[np.float64]]:
    """Return a column's values as float64, NaN where missing; a code becomes its place among all codes.

    Args:
        splits: The values by split.
    """
    ordered = codes_of(splits)
    numbers = {}
    for split, values in splits.items():
        if _is_text(values):
            values = pc.index_in(values, value_set=pa.array(ordered, values.type))
        # Beyond 2**53 a float64 skips integers, which matters to neither ranks nor shares.
        numbers[split] = pc.cast(values, pa.float64(), safe=False).to_numpy()
    return numbers


def codes_of(splits: Mapping[str, pa.ChunkedArray]) -> list[str]:
    """Return a column's codes in the order by which `as_numbers` counts them; none where it has numbers."""
    codes = {code for values in splits.values() if _is_text(values) for code in pc.unique(values).to_pylist()}
    return sorted(code for code in codes if code is not None)


def _is_text(values: pa.ChunkedArray) -> bool:
    return pa.types.is_string(values.type) or pa.types.is_large_string(values.type)


def _no_rows(schema: pa.Schema, names: Collection[str]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(
        [pa.array([], schema.field(name).type) for name in names], names=list(names)
    )
