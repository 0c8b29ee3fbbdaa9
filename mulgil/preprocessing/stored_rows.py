"""Training rows that stay on the disk, and are read some at a time.

Where a batch ends changes nothing: joined splits are read as one table.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from mulgil.contract import Column, DataDictionary, MissingPolicy
from mulgil.contract.specifications import specify_preprocessing
from mulgil.preprocessing.draws import LEAST_OF_CLASS, draw_places
from mulgil.preprocessing.rows import (
    RowKey,
    TargetTally,
    TrainingRows,
    cast_rows,
    check_columns,
    columns_of,
    convert_rows,
    join_keys,
    read_rows,
    reading,
)

# Of each column, at once.
_READ_BYTES = 1 << 20
# Of which some are drawn, at once.
_BATCH_ROWS = 1 << 15


@dataclass(frozen=True)
class StoredRows:
    """Rows of one split, or of several one after the other.

    Attributes:
        paths: The splits' files.
        dictionary: What their columns mean.
        batch_rows: How many are read at once.
        rows: How many there are.
        left_out: How many others lacked a value whose policy is `drop_row`.
        key: What is read of each of them besides.
    """

    paths: tuple[Path, ...]
    dictionary: DataDictionary
    batch_rows: int
    rows: int
    left_out: int
    key: RowKey | None = None

    def __len__(self) -> int:
        return self.rows

    def batches(self) -> Iterator[TrainingRows]:
        """Read all rows, some at a time."""
        return self._read(self.dictionary, self.key)

    def columns(self, names: Collection[str]) -> Iterator[dict[str, npt.NDArray[Any]]]:
        """Read some of the features, as `TrainingRows.tensors` has them, some rows at a time."""
        for batch in self._read(_narrow(self.dictionary, names)):
            yield batch.columns(names)

    def targets(self) -> Iterator[npt.NDArray[Any]]:
        """Read the truth, as `TrainingRows.target` has it, some rows at a time."""
        for batch in self._read(_narrow(self.dictionary, ())):
            yield batch.target

    def take(self, places: npt.NDArray[np.intp]) -> TrainingRows:
        """Read some of the rows; their places ascend."""
        found: list[TrainingRows] = []
        start = 0
        for batch in self.batches():
            first, last = np.searchsorted(places, [start, start + len(batch)])
            if last > first:
                found.append(batch.take(places[first:last] - start))
            start += len(batch)
            if start > places[-1]:
                break
        return TrainingRows(
            pa.concat_tables([part.features for part in found]).combine_chunks(),
            np.concatenate([part.target for part in found]),
            left_out=self.left_out,
            derived=found[0].derived,
            entities=join_keys([part.entities for part in found]),
            moments=join_keys([part.moments for part in found]),
        )

    def evenly(self, count: int) -> TrainingRows:
        """Read so many of the rows, the first and the last and what lies evenly between."""
        return self.take(np.unique(np.linspace(0, self.rows - 1, min(self.rows, count)).astype(np.intp)))

    def sample(self, count: int, seed: int, of_class: int = LEAST_OF_CLASS) -> TrainingRows:
        """Read so many of the rows, drawn by lot, in their order; all where there are no more.

        Args:
            count: How many.
            seed: Of the draw.
            of_class: How many of each class at least, as `draw_places` has it.
        """
        classes = None
        if count < self.rows and len(self.dictionary.targets) == 1:
            [target] = self.dictionary.targets
            if not target.type.is_numeric:
                classes = np.concatenate([part.astype(np.int32) for part in self.targets()])
        return self.take(draw_places(self.rows, count, seed, classes, of_class))

    def joined(self, other: StoredRows) -> StoredRows:
        """Return these rows and then the other's."""
        return StoredRows(
            (*self.paths, *other.paths),
            self.dictionary,
            self.batch_rows,
            self.rows + other.rows,
            self.left_out + other.left_out,
            self.key,
        )

    def _read(self, dictionary: DataDictionary, key: RowKey | None = None) -> Iterator[TrainingRows]:
        batches = _read(self.paths, dictionary, self.batch_rows, key)
        # `drop_row` may leave nothing of a batch.
        return (batch for batch in batches if len(batch))


def open_rows(
    training_rows_path: Path,
    split: str,
    dictionary: DataDictionary,
    batch_rows: int,
    *,
    key: RowKey | None = None,
) -> StoredRows:
    """Read one split once, and check what `read_rows` checks.

    Args:
        training_rows_path: A directory with one Parquet file a split.
        split: Its name.
        dictionary: What the columns mean.
        batch_rows: How many rows are in memory at once.
        key: What to read of each row besides.

    Raises:
        InputError: As `read_rows`.
    """
    path = training_rows_path / f"{split}.parquet"
    tally = TargetTally(path, dictionary.targets)
    rows = left_out = 0
    for batch in _read((path,), dictionary, batch_rows):
        tally.add(batch.target)
        rows, left_out = rows + len(batch), left_out + batch.left_out
    tally.check()
    return StoredRows((path,), dictionary, batch_rows, rows, left_out, key)


def count_rows(training_rows_path: Path, split: str) -> int:
    """Read how many rows a split has, those that will be left out included.

    Raises:
        InputError: The file is missing or not Parquet.
    """
    path = training_rows_path / f"{split}.parquet"
    with reading(path), pq.ParquetFile(path) as file:
        return int(file.metadata.num_rows)


def count_numbers(dictionary: DataDictionary) -> int:
    """Return how many numbers a row becomes, at most."""
    return sum(
        column.image.size if column.image else len(column.categories) + 1 if column.is_categorical else 1
        for column in specify_preprocessing(dictionary).columns
    )


def count_rows_in_memory(record: int, megabytes: float) -> int:
    """Return how many rows of so many numbers, in float32, take no more than so much memory."""
    return int(megabytes * 1_000_000 / (4 * record))


def read_some(
    training_rows_path: Path, split: str, dictionary: DataDictionary, most_rows: int, seed: int = 0
) -> tuple[TrainingRows, int]:
    """Read one split, or as many rows of it as there may be, drawn by lot.

    Returns:
        The rows, and how many there are of them.

    Raises:
        InputError: As `read_rows`.
    """
    if count_rows(training_rows_path, split) <= most_rows:
        rows = read_rows(training_rows_path, split, dictionary)
        return rows, len(rows)
    stored = open_rows(training_rows_path, split, dictionary, max(1, min(most_rows, _BATCH_ROWS)))
    return stored.sample(most_rows, seed), len(stored)


def _narrow(dictionary: DataDictionary, names: Collection[str]) -> DataDictionary:
    """Leave what is needed to read some features, and to tell which rows there are."""
    wanted = {
        column.name
        for column in dictionary.features
        if column.name in names or column.missing is MissingPolicy.DROP_ROW
    }
    for column in dictionary.features:
        if column.name in wanted and column.is_derived_feature and column.expression is not None:
            wanted |= column.expression.columns
    wanted |= {column.name for column in dictionary.targets}
    columns = tuple(column for column in dictionary.columns if column.name in wanted)
    return dictionary.model_copy(update={"columns": columns})


def _read(
    paths: Sequence[Path], dictionary: DataDictionary, rows: int, key: RowKey | None = None
) -> Iterator[TrainingRows]:
    columns = columns_of(dictionary, key)
    for path, table in _regroup(_read_tables(paths, columns, rows), rows):
        yield convert_rows(path, table, dictionary, key)


def _read_tables(
    paths: Sequence[Path], columns: Sequence[Column], rows: int
) -> Iterator[tuple[Path, pa.Table]]:
    names = [column.name for column in columns]
    for path in paths:
        # Without a buffer, or with one made ahead, a row group's columns would be in memory whole.
        with (
            reading(path),
            pq.ParquetFile(path, buffer_size=_READ_BYTES, pre_buffer=False) as file,
        ):
            check_columns(path, file.schema_arrow.names, columns)
            for batch in file.iter_batches(rows, columns=names):
                yield path, cast_rows(path, pa.Table.from_batches([batch]), columns)


def _regroup(tables: Iterable[tuple[Path, pa.Table]], rows: int) -> Iterator[tuple[Path, pa.Table]]:
    """Make tables of so many rows each, the last of what is left."""
    waiting: list[pa.Table] = []
    path = Path()
    for path, table in tables:
        waiting.append(table)
        while sum(map(len, waiting)) >= rows:
            joined = pa.concat_tables(waiting)
            yield path, joined.slice(0, rows)
            waiting = [joined.slice(rows)]
    if sum(map(len, waiting)):
        yield path, pa.concat_tables(waiting)
