"""The point-in-time join, beside a search row by row and beside Feast's own join of files."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Float64, Int64
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.point_in_time import NONE, find_known

OURS = "feature_repo.point_in_time_offline_store.PointInTimeOfflineStore"
START = datetime(2020, 1, 1, tzinfo=UTC)

keys = st.tuples(st.sampled_from([1, 2, 3, None]), st.sampled_from(["a", "b", None]))
times = st.one_of(st.integers(0, 6), st.sampled_from([-(2**63), 2**63 - 1]))
# A few times and keys, so that rows meet.
known_rows = st.lists(st.tuples(keys, times, st.integers(0, 3)), max_size=12)
asked_rows = st.lists(st.tuples(keys, times), max_size=8)


def columns(found, width):
    kinds = (pa.int64(), pa.string())[:width]
    return [pa.chunked_array([pa.array([key[i] for key in found], kind)]) for i, kind in enumerate(kinds)]


def integers(values):
    return np.array(list(values), dtype=np.int64)


@settings(max_examples=300, deadline=None)
@given(
    asked=asked_rows,
    history=known_rows,
    width=st.integers(0, 2),
    with_created=st.booleans(),
    age=st.sampled_from([None, 0, 2]),
)
def test_what_is_found_is_what_a_search_row_by_row_finds(asked, history, width, with_created, age):
    found = find_known(
        columns([key for key, _ in asked], width),
        integers(time for _, time in asked),
        columns([key for key, _, _ in history], width),
        integers(time for _, time, _ in history),
        created_at=integers(created for *_, created in history) if with_created else None,
        greatest_age=age,
    )

    expected = []
    for key, time in asked:
        candidates = [
            (known_at, created if with_created else 0, place)
            for place, (other, known_at, created) in enumerate(history)
            if key[:width] == other[:width]
            and None not in key[:width]
            and known_at <= time
            and (age is None or known_at >= time - age)
        ]
        expected.append(max(candidates)[-1] if candidates else NONE)
    assert found.tolist() == expected


def open_store(folder, offline_store, ttl):
    entity = Entity(name="person", join_keys=["person"], value_type=ValueType.INT64)
    source = FileSource(
        name="rows",
        path=str(folder / "rows.parquet"),
        timestamp_field="seen_at",
        created_timestamp_column="created",
        field_mapping={"wt": "weight"},
    )
    schema = [
        Field(name="person", dtype=Int64),
        Field(name="weight", dtype=Float64),
        Field(name="n", dtype=Int64),
    ]
    view = FeatureView(name="rows", entities=[entity], schema=schema, ttl=ttl, source=source)
    store = FeatureStore(
        config=RepoConfig(
            project="tests",
            provider="local",
            registry=str(folder / f"{offline_store[-5:]}{ttl.days}.db"),
            offline_store={"type": offline_store},
            online_store={"type": "sqlite", "path": str(folder / "online.db")},
            entity_key_serialization_version=3,
        )
    )
    store.apply([entity, source, view])
    return store


@pytest.mark.parametrize("ttl", [timedelta(0), timedelta(days=20)], ids=["no ttl", "ttl"])
@pytest.mark.parametrize("full_names", [False, True])
def test_feast_answers_the_same_from_ours_and_ours_keeps_what_its_own_drops(tmp_path, ttl, full_names):
    random = np.random.default_rng(0)
    count, entities = 2_000, 100
    moments = [START + timedelta(hours=int(hour)) for hour in random.integers(0, 2_000, count)]
    # Late rows stand anywhere, and some are corrections of an earlier one of the same time.
    rows = {
        "person": random.integers(0, entities, count),
        "seen_at": pa.array(moments, pa.timestamp("us", "UTC")),
        "created": pa.array([START + timedelta(seconds=int(i)) for i in random.permutation(count)]),
        "wt": pa.array(random.normal(size=count), mask=random.random(count) < 0.1),
        "n": random.integers(0, 9, count),
    }
    pq.write_table(pa.table(rows), tmp_path / "rows.parquet")
    asked = pd.DataFrame(
        {
            "person": random.integers(0, entities + 10, 500),
            "event_timestamp": [START + timedelta(hours=int(h)) for h in random.integers(0, 2_000, 500)],
            "label": np.arange(500),
        }
    )
    asked = pd.concat([asked, asked.head(50).assign(label=np.arange(500, 550))], ignore_index=True)
    names = ["rows:weight", "rows:n"]

    ours, feasts = (
        open_store(tmp_path, kind, ttl)
        .get_historical_features(asked, names, full_feature_names=full_names)
        .to_df()
        for kind in (OURS, "dask")
    )

    assert ours[["person", "label"]].equals(asked[["person", "label"]])
    # Which of two equal rows Feast keeps is its own affair: their features are the same.
    merged = feasts.merge(ours, on="label", suffixes=("", "_ours"), how="left", validate="one_to_one")
    assert 300 < len(merged) < 500
    for name in ("rows__weight", "rows__n") if full_names else ("weight", "n"):
        pd.testing.assert_series_equal(merged[name], merged[f"{name}_ours"], check_names=False)
        repeated = ours.tail(50)[name].reset_index(drop=True)
        pd.testing.assert_series_equal(repeated, ours.head(50)[name])
