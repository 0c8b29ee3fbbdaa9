"""The dataset that comes in and the training rows that go out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from feature_repo.point_in_time import count_repeated
from feature_repo.stored_history import count_batch_rows
from mulgil.artifacts import DATASET_MANIFEST, SPLITS, DatasetManifest
from mulgil.contract import ColumnType, DataDictionary
from mulgil.contract.specifications import FeatureSpecification
from mulgil.errors import InputError, describe

_ARROW_TYPES = {
    ColumnType.FLOAT: pa.float64(),
    ColumnType.INTEGER: pa.int64(),
    ColumnType.BOOLEAN: pa.bool_(),
    ColumnType.CATEGORY: pa.string(),
    ColumnType.TEXT: pa.string(),
    ColumnType.TIMESTAMP: pa.timestamp("us", tz="UTC"),
    ColumnType.IMAGE: pa.binary(),
}

# Rows with an image each that are in memory at a time. Chosen by eye.
_IMAGES = 1 << 10


def read_manifest(dataset_path: Path) -> DatasetManifest:
    """Read what the dataset is.

    Raises:
        InputError: There is no manifest.
    """
    return DatasetManifest.read(dataset_path / DATASET_MANIFEST)


class StoredSplits:
    """The splits' Parquet files, one after the other.

    Args:
        paths: The files by split.
        schema: The columns that the dictionary keeps, of its types.

    Raises:
        InputError: A file is missing or broken, or a column is missing or of another type.
    """

    def __init__(self, paths: Mapping[str, Path], schema: pa.Schema) -> None:
        self._paths = paths
        self.schema = schema
        self.rows: dict[str, int] = {split: self._check(path) for split, path in paths.items()}

    def read(self, columns: Sequence[str], splits: Sequence[str] = SPLITS) -> pa.Table:
        """Read some columns whole."""
        found = []
        for split in splits:
            with self._open(split) as file:
                found.append(file.read(columns=list(columns)).select(columns))
        return pa.concat_tables(found).replace_schema_metadata(None)

    def batches(
        self, columns: Sequence[str] | None = None, splits: Sequence[str] = SPLITS
    ) -> Iterator[pa.Table]:
        """Read the rows some at a time, of each split at least one table."""
        names = self.schema.names if columns is None else list(columns)
        has_images = any(pa.types.is_binary(self.schema.field(name).type) for name in names)
        batch_rows = _IMAGES if has_images else count_batch_rows(len(names))
        for split in splits:
            with self._open(split) as file:
                if not self.rows[split]:
                    yield self.schema.empty_table().select(names)
                for batch in file.iter_batches(batch_rows, columns=names):
                    yield pa.Table.from_batches([batch]).select(names)

    def take(self, places: Sequence[int]) -> list[dict[str, Any]]:
        """Read the rows at some places, which ascend."""
        found: list[dict[str, Any]] = []
        start = 0
        for rows in self.batches():
            among = [place - start for place in places if start <= place < start + len(rows)]
            found += rows.take(pa.array(among, pa.int64())).to_pylist()
            start += len(rows)
        return found

    def _check(self, path: Path) -> int:
        with _opened(path) as file:
            found = file.schema_arrow
            wrong = [
                f"{field.name} {found.field(field.name).type if field.name in found.names else 'missing'}"
                for field in self.schema
                if field.name not in found.names or found.field(field.name).type != field.type
            ]
            rows = int(file.metadata.num_rows)
        if wrong:
            raise InputError(
                describe(
                    f"{path} is not of this data dictionary",
                    expected=", ".join(f"{field.name} {field.type}" for field in self.schema),
                    received=", ".join(wrong),
                    next_step="ingest the data again with this dictionary",
                )
            )
        return rows

    def _open(self, split: str) -> contextlib.AbstractContextManager[pq.ParquetFile]:
        return _opened(self._paths[split])


def open_splits(dataset_path: Path, dictionary: DataDictionary) -> StoredSplits:
    """Open every split, with the columns that the dictionary keeps and of its types.

    Raises:
        InputError: A file is missing or broken, or a column is missing or of another type.
    """
    schema = pa.schema([(column.name, _ARROW_TYPES[column.type]) for column in dictionary.kept])
    return StoredSplits({split: dataset_path / f"{split}.parquet" for split in SPLITS}, schema)


def check_rows_are_distinct(keys: pa.Table, specification: FeatureSpecification) -> None:
    """Refuse two rows of one entity at one time.

    Which of them is true nobody can tell: Feast would silently keep one, and were they in two splits, the
    test rows would be answered with training rows.

    Args:
        keys: Entity and event timestamp of every row.
        specification: Their names.

    Raises:
        InputError: With the number of rows too many.
    """
    names = [specification.entity, specification.event_timestamp]
    times = keys[names[1]].cast(pa.int64()).to_numpy()
    surplus = count_repeated([keys[names[0]]], times)
    if surplus:
        raise InputError(
            describe(
                f"{surplus} of {keys.num_rows} rows repeat the {names[0]} and the {names[1]} of another",
                expected="one row for one entity at one time",
                received=f"repeated_rows={surplus}",
                next_step="give the rows times that tell them apart, or keep one of each in the source",
            )
        )


def write_training_rows(
    folder: Path, splits: Mapping[str, Iterable[pa.Table]], manifest: DatasetManifest
) -> dict[str, int]:
    """Write the splits and pass the dataset's manifest on.

    Args:
        folder: Where.
        splits: The rows of each split, some at a time, and at least one table of them.
        manifest: The dataset's.

    Returns:
        How many rows were written, by split.
    """
    rows = {split: write_rows(folder / f"{split}.parquet", tables) for split, tables in splits.items()}
    manifest.write(folder / DATASET_MANIFEST)
    return rows


def write_rows(path: Path, tables: Iterable[pa.Table]) -> int:
    """Write a Parquet file, a row group for each table of which there is at least one; return the rows."""
    rows = 0
    with contextlib.ExitStack() as stack:
        writer: pq.ParquetWriter | None = None
        for table in tables:
            table = table.replace_schema_metadata(None)
            writer = writer or stack.enter_context(pq.ParquetWriter(path, table.schema))
            writer.write_table(table)
            rows += table.num_rows
    return rows


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    try:
        # Not pq.read_table, which takes a folder named `a=b` on the way for one more column.
        with pq.ParquetFile(path) as file:
            yield file
    except (OSError, pa.ArrowInvalid) as exc:
        raise InputError(
            describe(f"Cannot read {path}: {exc}", expected="a split that ingest_data wrote")
        ) from exc
