"""The offline store: every row's features by entity and time, and the join that reads them back."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from feast import FeatureService, FeatureStore
from feast.infra.offline_stores.offline_store import RetrievalJob

from components.materialize_features.dataset import write_rows
from feature_repo.point_in_time_offline_store import PointInTimeRetrievalJob
from mulgil.contract import DataDictionary
from mulgil.contract.specifications import FeatureSpecification
from mulgil.errors import PermanentError, describe

# Feast keeps what else stands beside the keys. No column of a dictionary begins with an underscore.
_ROW = "__row"


def write_offline(path: Path, tables: Iterable[pa.Table]) -> None:
    """Write the file that the Feast source names, whole or not at all.

    Args:
        path: The Parquet file. What stands there is replaced.
        tables: Entity, event timestamp and features of all splits' rows, some at a time.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        write_rows(staged, tables)
        staged.replace(path)
    finally:
        staged.unlink(missing_ok=True)


def stored_columns(specification: FeatureSpecification) -> list[str]:
    """Return the columns of that file; the target is none."""
    features = [feature.name for feature in specification.features]
    return [specification.entity, specification.event_timestamp, *features]


def join_features(
    store: FeatureStore, service: FeatureService, rows: pa.Table, dictionary: DataDictionary, types: pa.Schema
) -> Iterator[pa.Table]:
    """Answer each row's entity and time with the features that were known then, some rows at a time.

    Feast's own store on files silently drops a row that repeats another's entity and time, and one that is
    earlier than all it knows of its entity; ours does not (`feature_repo/point_in_time_offline_store.py`).

    Args:
        store: The feature store, with the service applied and the offline file written.
        service: What to read.
        rows: Entity, event timestamp and targets of one split.
        dictionary: The columns.
        types: Of the features.

    Returns:
        Entity, event timestamp, features and target, in the order of `rows`.

    Raises:
        PermanentError: Feast answered with fewer or more rows than were asked for, or in another order.
    """
    entity, time = dictionary.entity.name, dictionary.event_timestamp.name
    # Of text pandas would otherwise make an object a row.
    text = {pa.string(): pd.ArrowDtype(pa.string())}
    keys = rows.select([entity, time]).to_pandas(types_mapper=text.get)
    keys[_ROW] = np.arange(rows.num_rows)
    job = store.get_historical_features(entity_df=keys, features=service)
    # Feast has made a copy.
    del keys
    start = 0
    for found in job.to_tables() if isinstance(job, PointInTimeRetrievalJob) else _at_once(job):
        end = start + found.num_rows
        if not np.array_equal(found[_ROW].to_numpy(), np.arange(start, end)):
            raise _no_answer(rows.num_rows, end)
        asked = rows.slice(start, found.num_rows)
        # What comes from pandas has no missing integer or boolean: Feast answers with floats and objects.
        features = {
            column.name: found[column.name].cast(types.field(column.name).type)
            for column in dictionary.stored
        }
        targets = {column.name: asked[column.name] for column in dictionary.targets}
        yield pa.table({entity: asked[entity], time: asked[time], **features, **targets})
        start = end
    if start != rows.num_rows:
        raise _no_answer(rows.num_rows, start)


def _at_once(job: RetrievalJob) -> Iterator[pa.Table]:
    yield job.to_arrow().sort_by(_ROW)


def _no_answer(expected: int, received: int) -> PermanentError:
    return PermanentError(
        describe(
            "Feast's point-in-time join did not answer row for row",
            expected=f"rows={expected}",
            received=f"rows={received}",
        )
    )
