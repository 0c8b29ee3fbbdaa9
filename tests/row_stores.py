"""The same rows in our online store and in Feast's own, read by Feast from both."""

from datetime import UTC, datetime, timedelta

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import (
    Array,
    Bool,
    Bytes,
    Float32,
    Float64,
    Int32,
    Int64,
    String,
    UnixTimestamp,
)

START = datetime(2020, 1, 1, tzinfo=UTC)
PLAIN = {"weight": Float64, "visits": Int64, "smoker": Bool, "stage": String}
# Of these, rows keep Feast's own messages.
OTHERS = {"small": Float32, "few": Int32, "photo": Bytes, "since": UnixTimestamp, "steps": Array(Float64)}
ROWS = {
    "weight": [0.1, None, -0.0, 1.7e308, 5e-324],
    "visits": [1, 2**53 - 1, None, -(2**62), 0],
    "smoker": [True, False, None, True, None],
    "stage": ["1", "", "물길", None, "x" * 300],
}
OTHER_ROWS = {
    "small": [0.5, None, 1.5, 2.5, 0.0],
    "few": [1, None, 3, 4, 5],
    "photo": [b"", b"\x00\xff", None, b"a", b"b"],
    "since": [START, START + timedelta(hours=1), None, START, START],
    "steps": [[1.0, 2.0], [], None, [0.5], [3.0]],
}


class RowStore:
    """A feature store with one view, in a folder."""

    def __init__(
        self, folder, online_store, fields=PLAIN, key_type=ValueType.INT64, ttl=timedelta(0), created=None
    ):
        folder.mkdir(parents=True)
        engine = "feature_repo.row_engine.RowComputeEngine"
        self.path = folder / "rows.parquet"
        self.entity = Entity(name="person", join_keys=["person"], value_type=key_type)
        source = FileSource(
            name="rows", path=str(self.path), timestamp_field="seen_at", created_timestamp_column=created
        )
        key = Int64 if key_type is ValueType.INT64 else String
        self.fields = fields
        self.view = FeatureView(
            name="rows",
            entities=[self.entity],
            schema=[Field(name="person", dtype=key), *(Field(name=n, dtype=t) for n, t in fields.items())],
            ttl=ttl,
            source=source,
        )
        configuration = {"type": "local"} if online_store["type"] in ("sqlite", "redis") else {"type": engine}
        self.store = FeatureStore(
            config=RepoConfig(
                project="tests",
                provider="local",
                registry=str(folder / "registry.db"),
                offline_store={"type": "dask"},
                online_store=online_store,
                batch_engine=configuration,
                entity_key_serialization_version=3,
            )
        )
        self.store.apply([self.entity, source, self.view])

    def materialize(self, table):
        """Put a table into the online store, as `feast materialize` does."""
        pq.write_table(table, self.path)
        self.store.materialize(START - timedelta(days=10_000), START + timedelta(days=10_000), ["rows"])

    def push(self, rows, seen_at, created=None):
        """Write rows past the offline store, as an application does."""
        times = {"seen_at": seen_at} | ({"created": created} if created else {})
        frame = pd.DataFrame([{**times, **row} for row in rows])
        self.store.write_to_online_store("rows", frame)

    def read(self, keys):
        """Read by Feast: values and event times."""
        features = [f"rows:{name}" for name in self.fields]
        answer = self.store.get_online_features(features, [{"person": key} for key in keys])
        return answer.to_dict(include_event_timestamps=True)


def table(rows, keys, times=START):
    """Return rows as a table; `times` is one for all, or one a row."""
    count = len(keys)
    times = times if isinstance(times, list) else [times] * count
    return pa.table(
        {"person": keys, "seen_at": pa.array(times, pa.timestamp("us", "UTC"))}
        | {name: pa.array(values[:count], _arrow(name)) for name, values in rows.items()}
    )


def _arrow(name):
    return {
        "weight": pa.float64(),
        "visits": pa.int64(),
        "smoker": pa.bool_(),
        "stage": pa.string(),
        "small": pa.float32(),
        "few": pa.int32(),
        "photo": pa.binary(),
        "since": pa.timestamp("us", "UTC"),
        "steps": pa.list_(pa.float64()),
        "created": pa.timestamp("us", "UTC"),
    }[name]
