"""Rows that are shuffled, come late and come twice: what each is joined with, from source to server."""

import json
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from fitted_families import check_served_as_fitted
from learning_project import LearningProject

import components.ingest_data.looking_back as looking_back
import components.ingest_data.parquet_source as parquet_source
from components.ingest_data.core import ingest_data
from components.materialize_features.core import materialize_features
from feature_repo.feature_store import open_feature_store
from feature_repo.layout import StoreLayout
from mulgil.artifacts import SPLITS, Check, DatasetManifest, FeatureServiceReference, Verdict
from mulgil.contract import ColumnType, load_project
from mulgil.contract.learning import Family
from mulgil.errors import InputError
from mulgil.preprocessing import fitted
from mulgil.preprocessing.rows import read_rows
from mulgil.serving.application import Application
from mulgil.serving.derivation import Derivation
from mulgil.serving.messages import Request
from mulgil.serving.model import ServedModel
from mulgil.serving.online_store import OnlineStore

START = datetime(2024, 1, 1, tzinfo=UTC)
PROJECT = """\
name: late
problem: {goal: g, success_measure: s}
task: binary_classification
source: {kind: parquet, location: rows.parquet}
split: {kind: group}
"""
PLAN_DAY = 'cross(plan, code(weekday(at, "Asia/Seoul")))'
AGGREGATES = {
    "mean_week": ("mean", "spend", "7 days"),
    "sum_day": ("sum", "spend", "1 day"),
    "rows_week": ("count", None, "1 week"),
    "visits_day": ("count", "visited", "24 hours"),
    "least_week": ("min", "spend", "7 days"),
    "most_day": ("max", "spend", "1 day"),
    "last_week": ("last", "spend", "7 days"),
    "spread_week": ("std", "spend", "7 days"),
}
WINDOWS = {"7 days": 7, "1 week": 7, "1 day": 1, "24 hours": 1}


def describe():
    columns = [
        {"name": "who", "role": "entity", "type": "text"},
        {"name": "at", "role": "event_timestamp", "type": "timestamp"},
        {"name": "known_at", "role": "created_timestamp", "type": "timestamp"},
        {"name": "gone", "role": "target", "type": "boolean"},
        {"name": "spend", "type": "float", "missing": "mean"},
        {"name": "visited", "type": "boolean", "missing": "most_frequent"},
        {"name": "first_seen", "role": "input", "type": "timestamp", "missing": "keep"},
        {"name": "rise", "type": "float", "missing": "drop_row", "derived": "spend / mean_week"},
        {"name": "plan", "type": "category", "missing": "new_category", "categories": ["a", "b"]},
        {"name": "is_night", "type": "boolean", "missing": "most_frequent", "derived": "hour(at) < 6"},
        {"name": "plan_day", "type": "category", "missing": "new_category", "derived": PLAN_DAY},
        {"name": "age", "type": "float", "missing": "median", "derived": "days_between(first_seen, at)"},
    ]
    for name, (function, of, over) in AGGREGATES.items():
        aggregate = {"function": function, "over": over, **({"of": of} if of else {})}
        missing = "reject" if function == "count" else "median"
        columns.append({"name": name, "type": "float", "missing": missing, "aggregate": aggregate})
    return yaml.safe_dump({"columns": [{**column, "description": "Any."} for column in columns]})


def draw_rows():
    """Rows of thirty entities in any order, known up to two days late, a tenth of them twice."""
    chance = np.random.default_rng(3)
    count = 600
    hours = chance.permutation(24 * 60)[:count]
    at = [START + timedelta(hours=int(hour), microseconds=int(hour)) for hour in hours]
    late = [timedelta(hours=int(h)) for h in chance.choice([0, 1, 48], count) * chance.integers(0, 2, count)]
    frame = pd.DataFrame(
        {
            "who": [f"p{one}" for one in chance.integers(0, 30, count)],
            "at": at,
            "known_at": [moment + delay for moment, delay in zip(at, late, strict=True)],
            "gone": chance.random(count) < 0.4,
            "spend": np.where(chance.random(count) < 0.1, np.nan, chance.normal(50, 20, count)),
            "visited": [None if r < 0.1 else bool(r < 0.6) for r in chance.random(count)],
            "plan": [None if r < 0.2 else "a" if r < 0.6 else "b" for r in chance.random(count)],
            "first_seen": [moment - timedelta(days=int(d)) for moment, d in zip(at, hours, strict=True)],
        }
    )
    doubled = pd.concat([frame, frame.sample(60, random_state=0)])
    return frame, doubled.sample(frac=1, random_state=1)


def look_back(frame, row):
    """Compute the aggregates of one row, by pandas alone."""
    numbers = {}
    own = frame[(frame.who == row.who) & (frame["at"] < row["at"]) & (frame.known_at < row["at"])]
    for name, (function, of, over) in AGGREGATES.items():
        within = own[own["at"] >= row["at"] - pd.Timedelta(days=WINDOWS[over])].sort_values("at")
        values = within[of].dropna().astype(float) if of else within.who
        if function == "count":
            numbers[name] = float(len(values))
        elif function == "last":
            numbers[name] = values.iloc[-1] if len(values) else np.nan
        else:
            numbers[name] = getattr(values, function)() if len(values) else np.nan
    return numbers


@pytest.fixture(scope="module")
def late(tmp_path_factory):
    """A project's folder after materialization, with its rows and what pandas makes of each of them."""
    folder = tmp_path_factory.mktemp("late")
    frame, shuffled = draw_rows()
    (folder / "project.yaml").write_text(PROJECT)
    (folder / "data_dictionary.yaml").write_text(describe())
    pq.write_table(pa.Table.from_pandas(shuffled, preserve_index=False), folder / "rows.parquet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MULGIL_HOME", str(folder / "home"))
        # Several batches, and the entities in several parts.
        patch.setattr(parquet_source, "BATCH_ROWS", 97)
        patch.setattr(looking_back, "_PART_ROWS", 150)
        ingest_data(
            project_path=folder,
            source="",
            dataset_path=folder / "dataset",
            quarantine_path=folder / "quarantine",
        )
        manifest = DatasetManifest.read(folder / "dataset" / "manifest.json")
        check = Check(name="anomalies", is_passed=True, reason="None.")
        Verdict.of("validate_data", manifest.fingerprint, [check]).write(folder / "verdict.json")
        materialize_features(
            project_path=folder,
            dataset_path=folder / "dataset",
            validation_verdict_path=folder / "verdict.json",
            training_rows_path=folder / "rows",
            feature_service_path=folder / "service.json",
        )
    past = pd.DataFrame([look_back(frame, row) for _, row in frame.iterrows()], index=frame.index)
    expected = frame.join(past)
    return folder, expected.assign(rise_base=expected.spend / expected.mean_week)


def same(found, expected):
    """Compare the aggregates of the same rows, by entity and time."""
    keys = ["who", "at"]
    found, expected = (one.set_index(keys).sort_index() for one in (found, expected))
    # Times of one moment count as one, of whatever unit.
    assert [*found.index] == [*expected.index]
    for name in AGGREGATES:
        np.testing.assert_allclose(
            found[name].astype(float), expected[name].astype(float), rtol=1e-9, err_msg=name
        )


def test_every_ingested_row_has_the_past_that_was_known_before_it(late):
    folder, expected = late
    parts = [pq.read_table(folder / "dataset" / f"{split}.parquet").to_pandas() for split in SPLITS]

    same(pd.concat(parts), expected)
    assert expected[list(AGGREGATES)].notna().sum().min() > 100, "the comparison is of something"


def test_the_join_gives_every_row_the_features_of_its_own_moment(late):
    folder, expected = late
    parts = [pq.read_table(folder / "rows" / f"{split}.parquet").to_pandas() for split in SPLITS]
    joined = pd.concat(parts)

    same(joined, expected)
    both = joined.merge(expected, on=["who", "at"], suffixes=("", "_own"), validate="one_to_one")
    assert len(both) == len(expected)
    np.testing.assert_array_equal(both.spend, both.spend_own)


def test_by_entity_the_server_has_what_training_had_of_the_entitys_last_row(late):
    folder, expected = late
    dictionary = load_project(folder).dictionary
    store = OnlineStore(FeatureServiceReference.read(folder / "service.json"), dictionary)
    last = expected.sort_values("at").groupby("who").tail(1)

    served = store.unpack(store.read(list(last.who)))

    same(pd.DataFrame(served).assign(who=list(last.who), at=list(last["at"])), last)
    assert {row["at"] for row in served} == {moment.isoformat() for moment in last["at"]}


def test_feast_computes_what_is_derived_as_training_and_the_server_do(late):
    folder, expected = late
    dictionary = load_project(folder).dictionary
    reference = FeatureServiceReference.read(folder / "service.json")
    layout = StoreLayout(folder / "home" / "feature_store")
    feast = open_feature_store(layout.registry, Path(reference.online_store))
    service = feast.get_feature_service(reference.derived_name)
    last = expected.sort_values("at").groupby("who").tail(1)

    asked = [{"who": who, "at": at.to_pydatetime()} for who, at in zip(last.who, last["at"], strict=True)]
    online = feast.get_online_features(features=service, entity_rows=asked).to_dict()

    store = OnlineStore(reference, dictionary)
    columns = pd.DataFrame(store.unpack(store.read(list(last.who)))).astype(object)
    columns = columns.where(columns.notna(), None).to_dict("list")
    made = [column for column in dictionary.features if column.is_derived_feature]
    for column in made:
        derivation = Derivation(column, dictionary.inputs)
        served = [derivation.of_columns(columns, place) for place in range(len(last))]
        assert sum(value is not None for value in served) > 10
        rounded = [float(np.float32(one)) if isinstance(one, float) else one for one in served]
        assert online[column.name] == rounded, column.name
    assert {type(value) for value in online["is_night"]} == {bool}

    rows = read_rows(folder / "rows", "train", dictionary)
    keys = pq.read_table(folder / "rows" / "train.parquet", columns=["who", "at"]).to_pandas()
    joined = feast.get_historical_features(entity_df=keys, features=service).to_df()
    # Training leaves out the rows of which no rise is known.
    joined = joined[joined.rise.notna()]
    for column in made:
        learned, found = rows.tensors[column.name], joined[column.name]
        if column.type is ColumnType.CATEGORY:
            assert found.fillna("").tolist() == learned.tolist()
        else:
            numbers = found.astype("Float64").to_numpy(np.float32, na_value=np.nan)
            np.testing.assert_array_equal(numbers, learned)


def test_a_model_of_them_is_served_as_it_was_fitted_by_columns_and_by_entity(late, tmp_path, monkeypatch):
    folder, expected = late
    project = LearningProject(load_project(folder), folder / "rows", folder / "service.json")
    check_served_as_fitted(project, Family.LINEAR, tmp_path / "bundle")
    model = ServedModel(tmp_path / "bundle")
    application = Application(model, name="late", version="1")

    def ask(*instances):
        body = json.dumps({"instances": instances}).encode()
        response = application.handle(Request("POST", "/v1/models/late:predict", {}, body))
        return response.status, json.loads(response.body)

    whole = expected[expected.rise_base.notna()].sort_values("at").groupby("who").tail(1)
    last = expected.sort_values("at").groupby("who").tail(1)
    who = sorted({*whole["at"]} & {*last["at"]})[0]
    (key,) = last[last["at"] == who].who
    ((stored,),) = [model.store.unpack(model.store.read([key]))]

    assert ask({"who": key}) == ask(stored)
    assert ask({"who": key})[0] == 200

    # What is forgotten is not filled, and what is required is derived or refused; both are counted.
    status, answer = ask({name: value for name, value in stored.items() if name != "mean_week"})
    assert status == 400
    assert "instance 0, column mean_week: expected a number of the entity's past" in answer["error"]
    status, answer = ask({**stored, "mean_week": None})
    assert status == 400
    assert "column rise: expected values of which spend / mean_week can be computed" in answer["error"]
    counted = application.metrics.render().decode()
    for column in ("mean_week", "rise"):
        (line,) = [one for one in counted.splitlines() if f'column="{column}",outcome="refused"' in one]
        assert line.endswith(" 1.0") or line.endswith(" 1")

    # By another version of the zones' database.
    monkeypatch.setattr(fitted, "fingerprint_zone", lambda name: name)
    with pytest.raises(InputError, match=r"The clocks of Asia/Seoul are not those .* was trained") as refused:
        ServedModel(tmp_path / "bundle")
    assert f"tzdata=={version('tzdata')}" in str(refused.value)
