"""Datasets as `ingest_data` writes them, from rows of Python values."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mulgil.artifacts import DatasetManifest, fingerprint_json
from mulgil.contract import Column, ColumnType, DataDictionary
from tests.strategies import Row

ARROW_TYPES = {
    ColumnType.FLOAT: pa.float64(),
    ColumnType.INTEGER: pa.int64(),
    ColumnType.BOOLEAN: pa.bool_(),
    ColumnType.CATEGORY: pa.string(),
    ColumnType.TEXT: pa.string(),
    ColumnType.TIMESTAMP: pa.timestamp("us", "UTC"),
}


def as_table(columns: Iterable[Column], rows: Sequence[Row]) -> pa.Table:
    """Put rows into an Arrow table of the columns' types."""
    schema = pa.schema([(column.name, ARROW_TYPES[column.type]) for column in columns])
    return pa.Table.from_pylist(list(rows), schema=schema)


def write_dataset(path: Path, splits: Mapping[str, pa.Table]) -> DatasetManifest:
    """Write splits and their manifest."""
    path.mkdir(parents=True)
    for split, table in splits.items():
        pq.write_table(table, path / f"{split}.parquet")
    rows = {split: table.num_rows for split, table in splits.items()}
    manifest = DatasetManifest(
        fingerprint=fingerprint_json([repr(table.to_pylist()) for table in splits.values()]),
        dictionary_fingerprint="",
        source="tests",
        rows_read=sum(rows.values()),
        rows=rows,
        rows_quarantined=0,
        rows_deduplicated=0,
    )
    manifest.write(path / "manifest.json")
    return manifest


def split_rows(dictionary: DataDictionary, rows: Sequence[Row]) -> dict[str, pa.Table]:
    """Divide rows by their order: three fifths train, one validates and one tests."""
    first, second = len(rows) * 3 // 5, len(rows) * 4 // 5
    parts = {"train": rows[:first], "validation": rows[first:second], "test": rows[second:]}
    return {split: as_table(dictionary.kept, part) for split, part in parts.items()}


def heart_rows(count: int = 300, seed: int = 0) -> list[Row]:
    """Make patients as `projects/heart_disease` describes them: sicker ones look it, as in the real table."""
    chance = random.Random(seed)
    return [_patient(number, chance) for number in range(1, count + 1)]


def _patient(number: int, chance: random.Random) -> Row:
    severity = chance.gauss(0, 1)

    def sign(low: float, high: float, step: float = 1.0) -> float:
        """One measurement that rises with the severity, with noise, kept within its range."""
        reading = (low + high) / 2 + (high - low) / 8 * (severity + chance.gauss(0, 1))
        return round(min(high, max(low, reading)) / step) * step

    return {
        "patient_id": number,
        "collected_at": datetime(1988, 7, 1, tzinfo=UTC),
        "age": int(sign(29, 77)),
        "sex": chance.choice("01"),
        "cp": chance.choice("1234"),
        "trestbps": int(sign(94, 200)),
        "chol": int(sign(126, 564)),
        "fbs": chance.random() < 0.15,
        "restecg": chance.choice("012"),
        "thalach": int(270 - sign(71, 202)),
        "exang": severity + chance.gauss(0, 1) > 0.5,
        "oldpeak": sign(0, 6, 0.1),
        "slope": chance.choice("123"),
        "ca": chance.choice([None, *[int(sign(0, 3))] * 30]),
        "thal": chance.choice([None, *"36677" * 6]),
        "disease": severity > 0,
    }
