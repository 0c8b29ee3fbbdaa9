"""The online store: each entity's latest features, held against the offline store."""

from __future__ import annotations

import random

import pyarrow as pa
import pyarrow.compute as pc
from feast import FeatureService, FeatureStore, FeatureView

from mulgil.contract import Column, DataDictionary
from mulgil.errors import PermanentError, describe

# Feast reads about 4,000 entities a second: enough to meet every type and missing value, and over at once.
_PARITY_ENTITIES = 200


def materialize(store: FeatureStore, view: FeatureView, times: pa.ChunkedArray) -> None:
    """Have Feast put each entity's latest values into the online store.

    The interval is the data's own, so that it depends on no clock, and a `materialize-incremental` by hand
    goes on where the data ends.

    Args:
        store: The feature store, with the view applied and the offline file written.
        view: What to materialize.
        times: The event timestamps of all rows.
    """
    interval = pc.min_max(times).as_py()
    store.materialize(interval["min"], interval["max"], feature_views=[view.name])


def check_parity(
    store: FeatureStore, service: FeatureService, rows: pa.Table, dictionary: DataDictionary
) -> int:
    """Hold what the online store answers against the offline values, exactly.

    Args:
        store: The feature store, materialized.
        service: What a model reads.
        rows: The offline rows.
        dictionary: The columns.

    Returns:
        How many entities were compared: a seeded sample where there are many.

    Raises:
        PermanentError: Naming the column and the entity of the first difference.
    """
    entity = dictionary.entity
    offline = sample_latest(rows, entity.name, dictionary.event_timestamp.name, _PARITY_ENTITIES)
    asked = [{entity.name: row[entity.name]} for row in offline]
    online = store.get_online_features(features=service, entity_rows=asked).to_dict()
    for i, row in enumerate(offline):
        for column in dictionary.stored:
            expected, received = row[column.name], online[column.name][i]
            if type(expected) is not type(received) or expected != received:
                raise PermanentError(
                    describe(
                        f"The online store disagrees with the offline store in {column.name} "
                        f"of {entity.name} {_show(entity, row[entity.name])}",
                        expected=f"{column.name}={_show(column, expected)}",
                        received=f"{column.name}={_show(column, received)}",
                        next_step="report it with the version of Feast; the store in service is unchanged",
                    )
                )
    return len(offline)


def sample_latest(rows: pa.Table, entity: str, time: str, count: int) -> list[dict[str, object]]:
    """Return the latest row of some entities, the same ones for the same rows.

    Args:
        rows: Rows of which no two have the same entity and time.
        entity: Name of the entity's column.
        time: Name of the event timestamp's column.
        count: How many entities at most.
    """
    keys = rows.select([entity, time]).to_pandas().sort_values(time, kind="stable")
    latest = keys.drop_duplicates(entity, keep="last").index.sort_values()
    chosen = sorted(random.Random(0).sample(range(len(latest)), min(count, len(latest))))
    sample: list[dict[str, object]] = rows.take(pa.array(latest[chosen])).to_pylist()
    return sample


def _show(column: Column, value: object) -> str:
    return "(hidden)" if column.sensitive else repr(value)
