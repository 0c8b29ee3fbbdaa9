"""The offline store: every row's features by entity and time, and the join that reads them back."""

from __future__ import annotations

import uuid
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from feast import FeatureService, FeatureStore

from mulgil.contract import DataDictionary
from mulgil.contract.specifications import FeatureSpecification
from mulgil.errors import PermanentError, describe

# Feast keeps what else stands beside the keys. No column of a dictionary begins with an underscore.
_ROW = "__row"


def write_offline(path: Path, rows: pa.Table, specification: FeatureSpecification) -> None:
    """Write the file that the Feast source names, whole or not at all.

    Args:
        path: The Parquet file. What stands there is replaced.
        rows: The dataset, all splits.
        specification: Which of its columns the feature store keeps; the target is none.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    features = [feature.name for feature in specification.features]
    try:
        pq.write_table(rows.select([specification.entity, specification.event_timestamp, *features]), staged)
        staged.replace(path)
    finally:
        staged.unlink(missing_ok=True)


def join_features(
    store: FeatureStore, service: FeatureService, rows: pa.Table, dictionary: DataDictionary
) -> pa.Table:
    """Answer each row's entity and time with the features that were known then.

    Feast's own store on files silently drops a row that repeats another's entity and time, and one that is
    earlier than all it knows of its entity; ours does not (`feature_repo/point_in_time_offline_store.py`).

    Args:
        store: The feature store, with the service applied and the offline file written.
        service: What to read.
        rows: One split.
        dictionary: The columns.

    Returns:
        Entity, event timestamp, features and target, in the order of `rows` and of its Arrow types.

    Raises:
        PermanentError: Feast answered with fewer or more rows than were asked for.
    """
    entity, time = dictionary.entity.name, dictionary.event_timestamp.name
    targets = {column.name: rows[column.name] for column in dictionary.targets}
    keys = rows.select([entity, time]).to_pandas()
    keys[_ROW] = np.arange(rows.num_rows)
    found = store.get_historical_features(entity_df=keys, features=service).to_df().sort_values(_ROW)
    if not np.array_equal(found[_ROW], keys[_ROW]):
        raise PermanentError(
            describe(
                "Feast's point-in-time join did not answer row for row",
                expected=f"rows={rows.num_rows}",
                received=f"rows={len(found)}",
            )
        )
    # A pandas frame has no missing integer or boolean: Feast answers with floats and objects instead.
    features = {
        column.name: pa.Array.from_pandas(found[column.name], type=rows.schema.field(column.name).type)
        for column in dictionary.stored
    }
    return pa.table({entity: rows[entity], time: rows[time], **features, **targets})
