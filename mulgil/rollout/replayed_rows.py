"""Rows to replay: what callers asked of the stable version lately, or else rows that it was tested with."""

from __future__ import annotations

from base64 import b64encode
from datetime import date, datetime
from pathlib import Path
from typing import Any

from mulgil.artifacts import BUNDLE_DICTIONARY
from mulgil.contract import ColumnType, DataDictionary
from mulgil.errors import InputError, describe
from mulgil.rollout.record import RolloutRecord
from mulgil.rollout.releases import Manifest
from mulgil.rollout.replay import Row

# Fewer logged rows than these tell less than the test rows do.
_LEAST_LOGGED = 200


def find_rows(rollout: RolloutRecord, columns: list[str], most: int) -> tuple[list[Row], str]:
    """Return rows to replay, and where they came from: the newest logged ones, or else test rows.

    Args:
        rollout: Whose.
        columns: That the model reads.
        most: How many rows.
    """
    if rollout.driver == "local":
        logged = _read_log(rollout, columns, most)
        if len(logged) >= min(most, _LEAST_LOGGED):
            return logged, "logged requests"
    if rollout.dataset_path is None:
        return [], "nothing"
    return _read_rows(Path(rollout.dataset_path), columns, most), "test rows"


def _read_log(rollout: RolloutRecord, columns: list[str], most: int) -> list[Row]:
    """Return the newest rows that the stable version predicted; none where a column was not kept as it came.

    A sensitive column and an image are logged as a hash, which no model can be asked with.
    """
    # It reads Parquet: 40 MB.
    from mulgil.local.plane.client import ServingPlane
    from mulgil.prediction_log.reading import read_predictions

    root = ServingPlane().predictions_folder
    table = read_predictions(
        root,
        rollout.service,
        version=rollout.stable_version,
        namespace=rollout.namespace,
        status=200,
        columns=columns,
    )
    if not table.num_rows or not set(columns) <= set(table.column_names):
        return []
    dictionary = _bundle_dictionary(rollout.stable)
    if dictionary is None or any(
        c.sensitive or c.type is ColumnType.IMAGE for c in dictionary.columns if c.name in columns
    ):
        return []
    newest = table.select(columns).slice(max(0, table.num_rows - most))
    return [{name: _plain(value) for name, value in row.items()} for row in newest.to_pylist()]


def _bundle_dictionary(manifest: Manifest) -> DataDictionary | None:
    """Return the dictionary of the bundle that an object serves, where it lies on this machine."""
    uri = str(manifest["spec"]["predictor"].get("model", {}).get("storageUri", ""))
    path = Path(uri.removeprefix("file://")) / BUNDLE_DICTIONARY
    try:
        return DataDictionary.model_validate_json(path.read_bytes())
    except (OSError, ValueError):
        return None


def _read_rows(dataset: Path, columns: list[str], most: int) -> list[Row]:
    """Return the first rows of a dataset's test split, with the columns that the model reads."""
    # Only where there is something to replay: it is 40 MB.
    import pyarrow.parquet as pq

    path = dataset if dataset.suffix == ".parquet" else dataset / "test.parquet"
    try:
        file = pq.ParquetFile(path)
    except OSError as exc:
        raise InputError(describe(f"Cannot read rows to replay from {path}", received=str(exc))) from exc
    there = [name for name in columns if name in file.schema_arrow.names]
    rows: list[Row] = []
    for batch in file.iter_batches(batch_size=min(most, 1000), columns=there):
        rows += [{name: _plain(value) for name, value in row.items()} for row in batch.to_pylist()]
        if len(rows) >= most:
            break
    return rows[:most]


def _plain(value: Any) -> Any:
    """Write a cell as JSON has it."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, bytes):
        return {"b64": b64encode(value).decode()}
    return None if value != value else value
