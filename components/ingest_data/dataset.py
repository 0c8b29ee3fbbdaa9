"""The dataset on disk: a typed Parquet file a split, and the manifest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mulgil.artifacts import DATASET_MANIFEST, DatasetManifest, staged_directory
from mulgil.contract.dictionary import ColumnType, DataDictionary
from mulgil.contract.values import Value

# Types that pyarrow 10, the validation environment's, reads back as they are.
_ARROW_TYPES = {
    ColumnType.FLOAT: pa.float64(),
    ColumnType.INTEGER: pa.int64(),
    ColumnType.BOOLEAN: pa.bool_(),
    ColumnType.CATEGORY: pa.string(),
    ColumnType.TEXT: pa.string(),
    ColumnType.TIMESTAMP: pa.timestamp("us", tz="UTC"),
}

Columns = Mapping[str, Sequence[Value]]


def fingerprint_rows(splits: Mapping[str, Columns], dictionary: DataDictionary) -> str:
    """Return the SHA-256 over every value, its column, type and split; the file format has no part in it."""
    digest = hashlib.sha256()
    for name, columns in splits.items():
        for column in dictionary.kept:
            content = [name, column.name, column.type, columns[column.name]]
            digest.update(json.dumps(content, default=datetime.isoformat).encode())
            digest.update(b"\n")
    return digest.hexdigest()


def write_dataset(
    path: Path, splits: Mapping[str, Columns], dictionary: DataDictionary, manifest: DatasetManifest
) -> None:
    """Write a dataset's folder, whole or not at all."""
    schema = pa.schema([pa.field(column.name, _ARROW_TYPES[column.type]) for column in dictionary.kept])
    with staged_directory(path) as staged:
        for name, columns in splits.items():
            table = pa.table(
                {field.name: pa.array(columns[field.name], field.type) for field in schema}, schema
            )
            pq.write_table(table, staged / f"{name}.parquet")
        manifest.write(staged / DATASET_MANIFEST)
