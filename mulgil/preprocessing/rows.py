"""The training rows of one split, read by the dictionary: raw columns, still missing what was missing.

Kept out of the package's own names: whoever only serves does not load Arrow.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mulgil.artifacts import DATASET_MANIFEST, DatasetManifest
from mulgil.contract import Column, ColumnType, DataDictionary, MissingPolicy
from mulgil.errors import InputError, describe
from mulgil.preprocessing.fitted import MISSING_CODE

Tensors = dict[str, npt.NDArray[Any]]

_ARROW_TYPES = {
    ColumnType.FLOAT: pa.float64(),
    ColumnType.INTEGER: pa.int64(),
    ColumnType.BOOLEAN: pa.bool_(),
    ColumnType.CATEGORY: pa.string(),
}


@dataclass(frozen=True)
class TrainingRows:
    """Rows to fit or to judge a model on.

    Attributes:
        features: The feature columns, in dictionary order.
        target: The truth.
        left_out: How many rows lacked a value whose policy is `drop_row`; they are not among `features`.
    """

    features: pa.Table
    target: npt.NDArray[np.bool_]
    left_out: int

    def __len__(self) -> int:
        return len(self.target)

    @cached_property
    def tensors(self) -> Tensors:
        """The columns as the SavedModel takes them.

        Shapes:
            (rows,) each: float32 with NaN for missing, or text with `MISSING_CODE` for missing.
        """
        return {name: _tensor(self.features[name]) for name in self.features.column_names}

    def instance(self, row: int) -> dict[str, float | int | bool | str | None]:
        """Return one row as a request would carry it."""
        result: dict[str, float | int | bool | str | None] = self.features.slice(row, 1).to_pylist()[0]
        return result

    def joined(self, other: TrainingRows) -> TrainingRows:
        """Return these rows and then the other's."""
        return TrainingRows(
            features=pa.concat_tables([self.features, other.features]).combine_chunks(),
            target=np.concatenate([self.target, other.target]),
            left_out=self.left_out + other.left_out,
        )


def read_manifest(training_rows_path: Path) -> DatasetManifest:
    """Read what the training rows were made of."""
    return DatasetManifest.read(training_rows_path / DATASET_MANIFEST)


def read_rows(training_rows_path: Path, split: str, dictionary: DataDictionary) -> TrainingRows:
    """Read one split.

    Args:
        training_rows_path: A directory with one Parquet file a split.
        split: Its name.
        dictionary: What the columns mean.

    Returns:
        Its rows, with both classes among them.

    Raises:
        InputError: The file is missing or not Parquet, lacks a column, has one of another type, lacks a
            value that the dictionary requires, or has fewer than two rows of a class.
    """
    path = training_rows_path / f"{split}.parquet"
    table = _read(path, [*dictionary.features, dictionary.target])
    required = [c.name for c in dictionary.features if c.missing is MissingPolicy.REJECT]
    for name in [*required, dictionary.target.name]:
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
    target = kept[dictionary.target.name].to_numpy().astype(np.bool_)
    _check_both_classes(path, target)
    features = kept.select([column.name for column in dictionary.features])
    return TrainingRows(features.combine_chunks(), target, left_out=len(table) - len(kept))


def _read(path: Path, columns: list[Column]) -> pa.Table:
    try:
        # Not pq.read_table, which takes a folder named `a=b` on the way for one more column.
        with pq.ParquetFile(path) as file:
            table = file.read()
        missing = [column.name for column in columns if column.name not in table.column_names]
        if missing:
            raise InputError(
                describe(
                    f"{path} lacks columns of the dictionary",
                    expected=", ".join(column.name for column in columns),
                    received="no " + ", ".join(missing),
                )
            )
        arrays = {column.name: _cast(table[column.name], column) for column in columns}
    except (OSError, pa.ArrowException) as exc:
        raise InputError(
            describe(f"Cannot read {path}: {exc}", expected="Parquet with the dictionary's types")
        ) from exc
    return pa.table(arrays)


def _cast(values: pa.ChunkedArray, column: Column) -> pa.ChunkedArray:
    cast = values.cast(_ARROW_TYPES[column.type])
    # pandas writes a missing float as NaN; here there is one way to be missing.
    return pc.if_else(pc.is_nan(cast), None, cast) if column.type is ColumnType.FLOAT else cast


def _check_both_classes(path: Path, target: npt.NDArray[np.bool_]) -> None:
    positive = int(target.sum())
    # One row of a class would leave none when a metric's spread is judged by leaving rows out.
    if min(positive, len(target) - positive) < 2:
        raise InputError(
            describe(
                f"{path} has too few rows of a class",
                expected="at least two of each",
                received=f"{positive} yes and {len(target) - positive} no",
                next_step="split with kind=stratified, or bring more rows",
            )
        )


def _tensor(values: pa.ChunkedArray) -> npt.NDArray[Any]:
    if pa.types.is_string(values.type):
        return np.asarray(pc.fill_null(values, MISSING_CODE).to_numpy(), dtype=object)
    return np.asarray(values.cast(pa.float32(), safe=False).to_numpy(), dtype=np.float32)
