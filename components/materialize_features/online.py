"""The online store: each entity's latest features, held against the offline store."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from datetime import datetime

import pyarrow as pa
from feast import FeatureService, FeatureStore, FeatureView

from feature_repo.point_in_time import find_latest
from mulgil.contract import Column, DataDictionary
from mulgil.errors import PermanentError, describe

# Feast reads about 90,000 values a second: enough to meet every type and missing value, and over at once.
_PARITY_VALUES = 100_000
_MOST_COMPARED, _LEAST_COMPARED = 200, 20


def materialize(store: FeatureStore, view: FeatureView, first: datetime, last: datetime) -> None:
    """Have Feast put each entity's latest values into the online store.

    The interval is the data's own, so that it depends on no clock, and a `materialize-incremental` by hand
    goes on where the data ends.

    Args:
        store: The feature store, with the view applied and the offline file written.
        view: What to materialize.
        first: The earliest event timestamp of all rows.
        last: The latest one.
    """
    store.materialize(first, last, feature_views=[view.name])


def check_parity(
    store: FeatureStore,
    service: FeatureService,
    offline: Sequence[Mapping[str, object]],
    dictionary: DataDictionary,
) -> int:
    """Hold what the online store answers against the offline values, exactly.

    Args:
        store: The feature store, materialized.
        service: What a model reads.
        offline: The latest row of each entity that is compared.
        dictionary: The columns.

    Returns:
        How many entities were compared.

    Raises:
        PermanentError: Naming the column and the entity of the first difference.
    """
    entity = dictionary.entity
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


def count_compared(features: int) -> int:
    """Return how many entities of so many features are compared."""
    return min(_MOST_COMPARED, max(_LEAST_COMPARED, _PARITY_VALUES // features))


def sample_latest(keys: pa.Table, count: int) -> list[int]:
    """Return the places of the latest rows of some entities, the same ones for the same rows.

    Args:
        keys: Entity and event timestamp of rows of which no two have the same.
        count: How many entities at most.
    """
    latest = find_latest([keys.column(0)], keys.column(1).cast(pa.int64()).to_numpy())
    chosen = sorted(random.Random(0).sample(range(len(latest)), min(count, len(latest))))
    places: list[int] = latest[chosen].tolist()
    return places


def _show(column: Column, value: object) -> str:
    return "(hidden)" if column.sensitive else repr(value)
