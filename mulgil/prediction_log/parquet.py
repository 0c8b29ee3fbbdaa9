"""From records to Parquet: a folder a date, a model and a version, a row an instance.

What the collector adds has a name that begins with an underscore, which no column of a dictionary has.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from mulgil.prediction_log.halves import Half

_TYPES = {"double": pa.float64(), "int64": pa.int64(), "bool": pa.bool_(), "string": pa.string()}

# One row an instance; a request without one that could be read has one row too.
RECORD_FIELDS = pa.schema(
    [
        ("_id", pa.string()),
        ("_source", pa.string()),
        ("_prediction_id", pa.string()),
        ("_instance", pa.int32()),
        ("_instances", pa.int32()),
        ("_time", pa.timestamp("us", tz="UTC")),
        ("_latency_seconds", pa.float64()),
        ("_status", pa.int16()),
        ("_protocol", pa.string()),
        ("_namespace", pa.string()),
        ("_model", pa.string()),
        ("_version", pa.string()),
        ("_by_entity", pa.bool_()),
        ("_prediction", pa.float64()),
        ("_answer", pa.string()),
        ("_payload", pa.string()),
        ("_error", pa.string()),
    ]
)


def write_parts(
    root: Path, name: str, records: Iterable[Half], columns: Mapping[str, Mapping[str, str]]
) -> int:
    """Write records, each file whole or not at all; writing them again leaves what writing them once left.

    Args:
        root: The log's folder.
        name: Of the files, the same for the same records.
        records: Whole ones, or halves whose other half never came.
        columns: Each column's type by name, by description.

    Returns:
        Rows written.
    """
    parts: dict[tuple[str, str, str, str], list[Half]] = defaultdict(list)
    for record in records:
        date = datetime.fromtimestamp(record.time or record.received, UTC).date().isoformat()
        parts[date, record.model, record.version, record.description].append(record)
    rows = 0
    for (date, model, version, description), members in parts.items():
        folder = (
            root / f"date={date}" / f"model={quote(model, safe='')}" / f"version={quote(version, safe='')}"
        )
        table = make_table(members, columns.get(description, {}))
        suffix = f"-{description}" if description else ""
        _write(folder / f"part-{name}{suffix}.parquet", table)
        rows += table.num_rows
    return rows


def make_table(records: list[Half], columns: Mapping[str, str]) -> pa.Table:
    """Return records as a table of one row an instance."""
    lists: dict[str, list[Any]] = {field.name: [] for field in RECORD_FIELDS}
    values: dict[str, list[Any]] = {name: [] for name in columns}
    for record in records:
        given = max((len(column) for column in record.columns.values()), default=0)
        count = given or len(record.predictions) or 1
        is_known = bool(given or record.predictions)
        predictions, answers = _split(record.predictions, count)
        moment = datetime.fromtimestamp(record.time or record.received, UTC)
        for name, value in (
            ("_id", record.id),
            ("_source", record.source),
            ("_prediction_id", record.prediction_id or record.id),
            ("_instances", count if is_known else None),
            ("_time", moment),
            ("_latency_seconds", record.latency),
            ("_status", record.status or None),
            ("_protocol", record.protocol or None),
            ("_namespace", record.namespace or None),
            ("_model", record.model),
            ("_version", record.version or None),
            ("_by_entity", record.by_entity),
            ("_payload", record.payload or None),
            ("_error", record.error or None),
        ):
            lists[name] += [value] * count
        lists["_instance"] += list(range(count)) if is_known else [None]
        lists["_prediction"] += predictions
        lists["_answer"] += [record.answer] * count if record.answer else answers
        absent = [None] * count
        for name, column in values.items():
            column += record.columns.get(name, absent)
    arrays = [pa.array(lists[field.name], field.type) for field in RECORD_FIELDS]
    arrays += [pa.array(column, _TYPES[columns[name]]) for name, column in values.items()]
    return pa.table(arrays, names=[*RECORD_FIELDS.names, *values])


def _split(predictions: list[Any], count: int) -> tuple[list[float | None], list[str | None]]:
    """Part predictions that are a number from those that are more than one."""
    padded = [*predictions, *[None] * (count - len(predictions))][:count]
    numbers = [
        float(one) if isinstance(one, int | float) and not isinstance(one, bool) else None for one in padded
    ]
    others = [
        None if one is None or number is not None else msgspec.json.encode(one).decode()
        for one, number in zip(padded, numbers, strict=True)
    ]
    return numbers, others


def _write(path: Path, table: pa.Table) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Readers take what ends with .parquet alone.
    staged = path.with_name(f".{path.name}.staged")
    pq.write_table(table, staged, compression="zstd")
    with staged.open("rb") as file:
        os.fsync(file.fileno())
    staged.replace(path)
