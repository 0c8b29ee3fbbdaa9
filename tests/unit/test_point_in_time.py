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

from feature_repo import point_in_time
from feature_repo.point_in_time import NONE, count_repeated, find_known, find_latest
from feature_repo.stored_history import StoredHistory

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


@settings(max_examples=300, deadline=None)
@given(history=known_rows, width=st.integers(1, 2), with_created=st.booleans())
def test_the_latest_rows_are_what_a_search_entity_by_entity_finds(history, width, with_created):
    found = find_latest(
        columns([key for key, _, _ in history], width),
        integers(time for _, time, _ in history),
        created_at=integers(created for *_, created in history) if with_created else None,
    )

    latest = {}
    for place, (key, known_at, created) in enumerate(history):
        if None not in key[:width]:
            row = (known_at, created if with_created else 0, place)
            latest[key[:width]] = max(row, latest.get(key[:width], row))
    assert found.tolist() == sorted(place for *_, place in latest.values())


@pytest.mark.parametrize("step", [1, 4096], ids=["any number", "multiples of one number"])
def test_what_is_sorted_in_parts_is_what_is_sorted_at_once(monkeypatch, step):
    random = np.random.default_rng(0)
    history, asked = (pa.chunked_array([random.integers(-200, 200, 3_000) * step]) for _ in range(2))
    known_at, asked_at = (random.integers(0, 50, 3_000) for _ in range(2))
    whole = find_known([asked], asked_at, [history], known_at), find_latest([history], known_at)
    repeated = count_repeated([history], known_at)

    monkeypatch.setattr(point_in_time, "_PART_ROWS", 100)

    assert len(list(point_in_time._divide(history.to_numpy()))) > 16
    assert max(len(rows) for [rows] in point_in_time._divide(history.to_numpy())) < 1_000
    assert np.array_equal(find_known([asked], asked_at, [history], known_at), whole[0])
    assert np.array_equal(find_latest([history], known_at), whole[1])
    different = set(zip(history.to_pylist(), known_at.tolist(), strict=True))
    assert count_repeated([history], known_at) == repeated == 3_000 - len(different)


def test_an_entity_is_a_number_of_its_own_even_the_least_that_there_is():
    least = -(2**63)
    history = pa.chunked_array([pa.array([least, -1, None], pa.int64())])
    known_at = integers([0, 0, 0])

    found = find_known([history], integers([1, 1, 1]), [history.slice(0, 2)], known_at[:2])

    assert found.tolist() == [0, 1, NONE]
    assert find_latest([history], known_at).tolist() == [0, 1]


@settings(max_examples=100, deadline=None)
@given(
    places=st.lists(st.integers(-1, 99), max_size=40),
    batch_rows=st.integers(1, 50),
    groups=st.sampled_from([1, 7, 100]),
)
def test_rows_are_read_by_their_place_in_any_order_from_several_files_and_row_groups(
    stored_rows, places, batch_rows, groups
):
    history = StoredHistory(*stored_rows[groups])

    tables = list(history.take(integers(places), ["n", "weight"], batch_rows))

    nothing = {"n": None, "weight": None}
    assert pa.concat_tables(tables).to_pylist() == [
        nothing if place == NONE else {"n": place, "weight": None if place % 3 else place / 2}
        for place in places
    ]
    assert all(len(one) == batch_rows for one in tables[:-1])
    assert len(history) == 100


@pytest.fixture(scope="module")
def stored_rows(tmp_path_factory):
    """A hundred rows in two files, by the number of rows in a row group."""
    sources = {}
    for group in (1, 7, 100):
        folder = tmp_path_factory.mktemp("rows") / "a=b"
        folder.mkdir()
        for name, start, end in (("1.parquet", 0, 60), ("2.parquet", 60, 100)):
            numbers = range(start, end)
            weights = [None if n % 3 else n / 2 for n in numbers]
            rows = pa.table({"wt": pa.array(weights, pa.float64()), "n": list(numbers)})
            pq.write_table(rows, folder / name, row_group_size=group)
        source = FileSource(
            name="rows", path=str(folder), timestamp_field="n", field_mapping={"wt": "weight"}
        )
        sources[group] = source, RepoConfig(project="tests", provider="local", registry=str(folder / "no.db"))
    return sources


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
