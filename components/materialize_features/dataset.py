"""The dataset that comes in and the training rows that go out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mulgil.artifacts import DATASET_MANIFEST, SPLITS, DatasetManifest, staged_directory
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


def read_manifest(dataset_path: Path) -> DatasetManifest:
    """Read what the dataset is.

    Raises:
        InputError: There is no manifest.
    """
    return DatasetManifest.read(dataset_path / DATASET_MANIFEST)


def read_splits(dataset_path: Path, dictionary: DataDictionary) -> dict[str, pa.Table]:
    """Read every split, with the columns that the dictionary keeps and of its types.

    Raises:
        InputError: A file is missing or broken, or a column is missing or of another type.
    """
    schema = pa.schema([(column.name, _ARROW_TYPES[column.type]) for column in dictionary.kept])
    return {split: _read_split(dataset_path / f"{split}.parquet", schema) for split in SPLITS}


def check_rows_are_distinct(rows: pa.Table, specification: FeatureSpecification) -> None:
    """Refuse two rows of one entity at one time.

    Which of them is true nobody can tell: Feast would silently keep one, and were they in two splits, the
    test rows would be answered with training rows.

    Raises:
        InputError: With the number of rows too many.
    """
    keys = [specification.entity, specification.event_timestamp]
    surplus = rows.num_rows - rows.group_by(keys).aggregate([]).num_rows
    if surplus:
        raise InputError(
            describe(
                f"{surplus} of {rows.num_rows} rows repeat the {keys[0]} and the {keys[1]} of another",
                expected="one row for one entity at one time",
                received=f"repeated_rows={surplus}",
                next_step="give the rows times that tell them apart, or keep one of each in the source",
            )
        )


def write_training_rows(path: Path, splits: Mapping[str, pa.Table], manifest: DatasetManifest) -> None:
    """Write the splits and pass the dataset's manifest on."""
    with staged_directory(path) as staged:
        for split, rows in splits.items():
            pq.write_table(rows, staged / f"{split}.parquet")
        manifest.write(staged / DATASET_MANIFEST)


def _read_split(path: Path, schema: pa.Schema) -> pa.Table:
    try:
        # Not pq.read_table, which takes a folder named `a=b` on the way for one more column.
        with pq.ParquetFile(path) as file:
            found = file.schema_arrow
            wrong = [
                f"{field.name} {found.field(field.name).type if field.name in found.names else 'missing'}"
                for field in schema
                if field.name not in found.names or found.field(field.name).type != field.type
            ]
            rows = file.read(columns=schema.names) if not wrong else None
    except (OSError, pa.ArrowInvalid) as exc:
        raise InputError(
            describe(f"Cannot read {path}: {exc}", expected="a split that ingest_data wrote")
        ) from exc
    if rows is None:
        raise InputError(
            describe(
                f"{path} is not of this data dictionary",
                expected=", ".join(f"{field.name} {field.type}" for field in schema),
                received=", ".join(wrong),
                next_step="ingest the data again with this dictionary",
            )
        )
    return rows.select(schema.names).replace_schema_metadata(None)
