"""The training rows of one split, read by the dictionary: raw columns, still missing what was missing.

Kept out of the package's own names: whoever only serves does not load Arrow.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mulgil.artifacts import DATASET_MANIFEST, DatasetManifest, Instance
from mulgil.contract import Column, ColumnRole, ColumnType, DataDictionary, MissingPolicy
from mulgil.contract.expressions import Expression
from mulgil.errors import InputError, describe
from mulgil.preprocessing.derived import derive_values, is_missing
from mulgil.preprocessing.fitted import MISSING_CODE

Tensors = dict[str, npt.NDArray[Any]]

# Of which a time of a table is a number, and how many are a second.
_MICROSECONDS = 1e6

_ARROW_TYPES = {
    ColumnType.FLOAT: pa.float64(),
    ColumnType.INTEGER: pa.int64(),
    ColumnType.BOOLEAN: pa.bool_(),
    ColumnType.CATEGORY: pa.string(),
    ColumnType.TEXT: pa.string(),
    ColumnType.IMAGE: pa.binary(),
    ColumnType.TIMESTAMP: pa.timestamp("us", tz="UTC"),
}


class RowKey(StrEnum):
    """What of each row says which others it may be told apart from."""

    ENTITY = "entity"
    MOMENT = "moment"


@dataclass(frozen=True)
class TrainingRows:
    """Rows to fit or to judge a model on.

    Attributes:
        features: The feature columns and the dates that derived ones of them read, in dictionary order.
        target: The truth: yes or no, the place of a class among the dictionary's categories, or a number; of
            several targets a column each.
        left_out: How many rows lacked a value whose policy is `drop_row`; they are not among `features`.
        derived: Which of the features are computed from the others.
        entities: What each row is about, where rows of one entity must stay together.
        moments: When each row is of, in microseconds since 1970, where what is fitted on must be before what
            is held out.
    """

    features: pa.Table
    target: npt.NDArray[Any]
    left_out: int
    derived: frozenset[str] = frozenset()
    entities: npt.NDArray[Any] | None = None
    moments: npt.NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.target)

    @cached_property
    def tensors(self) -> Tensors:
        """The columns as the SavedModel takes them.

        Shapes:
            (rows,) each: float32 with NaN for missing, text with `MISSING_CODE` for missing, an image's file,
            or seconds since 1970 in float64 with NaN for missing.
        """
        return self.columns(self.features.column_names)

    def columns(self, names: Iterable[str]) -> Tensors:
        """Return some of the columns, as `tensors` has them."""
        return {name: _tensor(self.features[name]) for name in names}

    def instance(self, row: int) -> Instance:
        """Return one row as a request would carry it."""
        values: dict[str, Any] = self.features.slice(row, 1).to_pylist()[0]
        return {name: _as_json(value) for name, value in values.items() if name not in self.derived}

    def take(self, places: npt.NDArray[np.intp]) -> TrainingRows:
        """Return some of the rows, in this order."""
        return TrainingRows(
            self.features.take(pa.array(places)).combine_chunks(),
            self.target[places],
            left_out=0,
            derived=self.derived,
            entities=None if self.entities is None else self.entities[places],
            moments=None if self.moments is None else self.moments[places],
        )

    def joined(self, other: TrainingRows) -> TrainingRows:
        """Return these rows and then the other's."""
        return TrainingRows(
            features=pa.concat_tables([self.features, other.features]).combine_chunks(),
            target=np.concatenate([self.target, other.target]),
            left_out=self.left_out + other.left_out,
            derived=self.derived,
            entities=join_keys([self.entities, other.entities]),
            moments=join_keys([self.moments, other.moments]),
        )


def join_keys(parts: Sequence[npt.NDArray[Any] | None]) -> npt.NDArray[Any] | None:
    """Return the keys of all parts; `None` where a part has none."""
    found = [part for part in parts if part is not None]
    return np.concatenate(found) if len(found) == len(parts) else None


def read_manifest(training_rows_path: Path) -> DatasetManifest:
    """Read what the training rows were made of."""
    return DatasetManifest.read(training_rows_path / DATASET_MANIFEST)


def read_rows(
    training_rows_path: Path, split: str, dictionary: DataDictionary, *, key: RowKey | None = None
) -> TrainingRows:
    """Read one split.

    Args:
        training_rows_path: A directory with one Parquet file a split.
        split: Its name.
        dictionary: What the columns mean.
        key: What to read of each row besides.

    Returns:
        Its rows, with every class among them.

    Raises:
        InputError: The file is missing or not Parquet, lacks a column, has one of another type, lacks a
            value that the dictionary requires, or has fewer than two rows of a class or two different
            numbers.
    """
    path = training_rows_path / f"{split}.parquet"
    columns = columns_of(dictionary, key)
    rows = convert_rows(path, cast_rows(path, _read(path, columns), columns), dictionary, key)
    tally = TargetTally(path, dictionary.targets)
    tally.add(rows.target)
    tally.check()
    return rows


def columns_of(dictionary: DataDictionary, key: RowKey | None = None) -> list[Column]:
    """Return the columns that are read of a split."""
    columns = [*dictionary.inputs, *dictionary.targets]
    if key is not None:
        columns.append(_column_of(dictionary, key))
    # The time may be one that a derived feature reads.
    return list({column.name: column for column in columns}.values())


def _column_of(dictionary: DataDictionary, key: RowKey) -> Column:
    return dictionary.entity if key is RowKey.ENTITY else dictionary.event_timestamp


def convert_rows(
    path: Path, table: pa.Table, dictionary: DataDictionary, key: RowKey | None = None
) -> TrainingRows:
    """Bring some rows of a split to what the dictionary says, and leave out those that it says to drop.

    Args:
        path: Where they are from.
        table: They themselves, in the dictionary's types; of its inputs and targets, it has them all.
        dictionary: What the columns mean.
        key: What the table has of each row, and the rows are to have, besides.
    """
    table = _derive(table, dictionary)
    columns = (*dictionary.features, *dictionary.inputs)
    required = dict.fromkeys(c.name for c in columns if c.missing is MissingPolicy.REJECT)
    for name in [*required, *(column.name for column in dictionary.targets)]:
        if table[name].null_count:
            raise InputError(
                describe(
                    f"{path}: {name} lacks a value in {table[name].null_count} rows",
                    expected="a value in every row, as the dictionary says (missing: reject)",
                    next_step="ingest again, or give the column another `missing` policy",
                )
            )
    kept = table
    for column in dictionary.features:
        if column.missing is MissingPolicy.DROP_ROW:
            kept = kept.filter(pc.is_valid(kept[column.name]))
    targets = [_convert_target(path, column, kept[column.name]) for column in dictionary.targets]
    target = targets[0] if len(targets) == 1 else np.stack(targets, axis=1)
    features = kept.select(
        [c.name for c in dictionary.columns if c.role is ColumnRole.FEATURE or c.name in dictionary.moments]
    )
    return TrainingRows(
        features.combine_chunks(),
        target,
        left_out=len(table) - len(kept),
        derived=frozenset(column.name for column in dictionary.features if column.is_derived_feature),
        entities=kept[dictionary.entity.name].to_numpy() if key is RowKey.ENTITY else None,
        moments=kept[dictionary.event_timestamp.name].cast(pa.int64()).to_numpy()
        if key is RowKey.MOMENT
        else None,
    )


def derive_array(
    expression: Expression, columns: Mapping[str, pa.Array | pa.ChunkedArray], rows: int
) -> pa.Array:
    """Compute a derived feature of Arrow's columns: a number, or a code, and null where there is none."""
    derived = derive_values(expression, {name: _tensor(values) for name, values in columns.items()}, rows)
    return pa.array(derived, mask=is_missing(derived))


def _derive(table: pa.Table, dictionary: DataDictionary) -> pa.Table:
    """Append the derived features."""
    for column in dictionary.features:
        if not column.is_derived_feature:
            continue
        assert column.expression is not None
        operands = {name: table[name] for name in column.expression.columns}
        values = derive_array(column.expression, operands, len(table))
        table = table.append_column(column.name, values.cast(_ARROW_TYPES[column.type]))
    return table


def _read(path: Path, columns: list[Column]) -> pa.Table:
    with reading(path), pq.ParquetFile(path) as file:
        check_columns(path, file.schema_arrow.names, columns)
        return file.read(columns=[column.name for column in columns])


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Say in words what keeps a split from being read."""
    try:
        # What is inside opens a ParquetFile, not pq.read_table, which takes a folder named `a=b` on the way
        # for one more column.
        yield
    except (OSError, pa.ArrowException) as exc:
        raise InputError(
            describe(f"Cannot read {path}: {exc}", expected="Parquet with the dictionary's types")
        ) from exc


def check_columns(path: Path, names: Sequence[str], columns: Sequence[Column]) -> None:
    """Refuse a split that lacks columns."""
    missing = [column.name for column in columns if column.name not in names]
    if missing:
        raise InputError(
            describe(
                f"{path} lacks columns of the dictionary",
                expected=", ".join(column.name for column in columns),
                received="no " + ", ".join(missing),
            )
        )


def cast_rows(path: Path, table: pa.Table, columns: Sequence[Column]) -> pa.Table:
    """Return the columns in the dictionary's types."""
    with reading(path):
        return pa.table({column.name: _cast(table[column.name], column) for column in columns})


def _cast(values: pa.ChunkedArray, column: Column) -> pa.ChunkedArray:
    cast = values.cast(_ARROW_TYPES[column.type])
    # pandas writes a missing float as NaN; here there is one way to be missing.
    return pc.if_else(pc.is_nan(cast), None, cast) if column.type is ColumnType.FLOAT else cast


def _convert_target(path: Path, column: Column, values: pa.ChunkedArray) -> npt.NDArray[Any]:
    """Return a target's values as numbers, truth, or places of classes."""
    converted: npt.NDArray[Any]
    if column.type.is_numeric:
        converted = values.cast(pa.float64()).to_numpy()
        return converted
    if column.type is ColumnType.BOOLEAN:
        converted = values.to_numpy().astype(np.bool_)
        return converted
    categories = tuple(column.categories or ())
    places = pc.index_in(values, value_set=pa.array(categories, pa.string()))
    if places.null_count:
        raise InputError(
            describe(
                f"{path}: {column.name} has a class that the dictionary does not name",
                expected="one of " + ", ".join(categories),
            )
        )
    converted = places.to_numpy().astype(np.intp)
    return converted


class TargetTally:
    """Counts what a split's targets are, so that there is enough of each to learn from and to judge by.

    Args:
        path: The split.
        targets: Its targets.
    """

    def __init__(self, path: Path, targets: Sequence[Column]) -> None:
        self._path = path
        self._targets = targets
        # Of a number its ends; else how many rows there are of each answer.
        self._ends = {column.name: (np.inf, -np.inf) for column in targets if column.type.is_numeric}
        self._counts = {
            column.name: np.zeros(len(column.categories or ("no", "yes")), np.intp)
            for column in targets
            if not column.type.is_numeric
        }

    def add(self, target: npt.NDArray[Any]) -> None:
        """Count some rows, in the form of `TrainingRows.target`."""
        if not len(target):
            return
        for column, values in zip(self._targets, target.reshape(len(target), -1).T, strict=True):
            if column.type.is_numeric:
                low, high = self._ends[column.name]
                self._ends[column.name] = (min(low, values.min()), max(high, values.max()))
            else:
                counts = self._counts[column.name]
                counts += np.bincount(values.astype(np.intp), minlength=len(counts))

    def check(self) -> None:
        """Refuse a split of which nothing can be learned."""
        for column in self._targets:
            if not column.type.is_numeric:
                names = column.categories or ("no", "yes")
                counts = dict(zip(names, self._counts[column.name].tolist(), strict=True))
                if column.categories is None:
                    counts = {"yes": counts["yes"], "no": counts["no"]}
                _check_counts(self._path, column, counts)
                continue
            low, high = self._ends[column.name]
            if low >= high:
                raise InputError(
                    describe(
                        f"{self._path}: {column.name} is the same number in every row",
                        expected="at least two different numbers",
                        next_step="bring more rows",
                    )
                )


def _check_counts(path: Path, column: Column, counts: dict[str, int]) -> None:
    # One row of a class would leave none when a metric's spread is judged by leaving rows out.
    rare = {name: count for name, count in counts.items() if count < 2}
    if rare:
        raise InputError(
            describe(
                f"{path} has too few rows of a class of {column.name}",
                expected="at least two of each",
                received=" and ".join(f"{count} {name}" for name, count in counts.items()),
                next_step="bring more rows of that class; or divide it evenly: `split.kind: stratified`",
            )
        )


def _as_json(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"b64": b64encode(value).decode()}
    return value.isoformat() if isinstance(value, datetime) else value


def _tensor(values: pa.Array | pa.ChunkedArray) -> npt.NDArray[Any]:
    values = values if isinstance(values, pa.ChunkedArray) else pa.chunked_array([values])
    if pa.types.is_binary(values.type):
        return np.array(values.to_pylist(), dtype=object)
    if pa.types.is_string(values.type):
        return np.asarray(pc.fill_null(values, MISSING_CODE).to_numpy(), dtype=object)
    if pa.types.is_timestamp(values.type):
        microseconds = values.cast(pa.int64()).cast(pa.float64()).to_numpy()
        return np.asarray(np.floor(microseconds / _MICROSECONDS), dtype=np.float64)
    return np.asarray(values.cast(pa.float32(), safe=False).to_numpy(), dtype=np.float32)
