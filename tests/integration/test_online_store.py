"""Predictions by entity, from a store that the real Feast wrote."""

import json
import math
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np
import pytest
from feature_stores import Store
from model_servers import Server
from served_bundles import DICTIONARY, ROW, SPARSE_ROW, edit_json, network, seal

from mulgil.artifacts import BUNDLE_DICTIONARY, BUNDLE_TRANSFORM
from mulgil.contract import Column, ColumnRole, ColumnType, DataDictionary
from mulgil.contract.values import read_moment
from mulgil.serving.contract_check import ContractCheck
from mulgil.serving.derivation import Derivation
from mulgil.serving.messages import RequestError
from mulgil.serving.online_store import OnlineStore

EXTREMES = {
    0: {"age": 0, "oldpeak": 0.0, "exang": False, "thal": "", "income": -0.0},
    -1: {"age": -1, "oldpeak": 5e-324, "exang": True, "thal": "물길", "income": 1.7e308},
    2**53 - 1: {"age": -(2**53) + 1, "oldpeak": -math.pi, "exang": None, "thal": "x" * 300, "income": None},
    -(2**53) + 1: {"age": 2**53 - 1, "oldpeak": math.inf, "exang": True, "thal": None, "income": 0.1},
    128: {"age": 127, "oldpeak": 1.0, "exang": False, "thal": "6", "income": 1e-9},
    129: dict.fromkeys(ROW),
}


def test_the_same_entities_have_the_values_that_feast_reads(tmp_path):
    store = Store(tmp_path)
    store.write(EXTREMES)

    ours, feasts = store.read(list(EXTREMES)), store.read_with_feast(list(EXTREMES))

    assert ours == feasts
    assert [{k: type(v) for k, v in row.items()} for row in ours] == [
        {k: type(v) for k, v in row.items()} for row in feasts
    ]
    assert ours[3]["oldpeak"] == math.inf and ours[2]["age"] == -(2**53) + 1


def test_keys_may_be_text(tmp_path):
    key = Column(name="patient_id", role=ColumnRole.ENTITY, type=ColumnType.TEXT, description="Who.")
    columns = tuple(key if c.role is ColumnRole.ENTITY else c for c in DICTIONARY.columns)
    store = Store(tmp_path, DataDictionary(columns=columns))
    rows = {"a": ROW, "물길 7": SPARSE_ROW, "x" * 300: ROW}
    store.write(rows)

    assert store.read(list(rows)) == store.read_with_feast(list(rows)) == list(rows.values())
    assert store.read(["b"]) == [None]


def test_a_store_that_is_not_there_or_not_one_is_told_apart_from_an_unknown_entity(tmp_path, capsys):
    store = Store(tmp_path)
    for content in (None, b"", b"nonsense" * 1000):
        path = Path(store.reference.online_store)
        if content is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        with pytest.raises(RequestError, match="cannot be read") as refusal:
            store.read([1])
        assert refusal.value.status == 503
        assert str(path) in capsys.readouterr().out


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("store"))
    store.write({1: ROW, 2: SPARSE_ROW, 3: {**ROW, "age": 3}, 4: {**ROW, "age": None}})
    return store


@pytest.fixture(scope="module")
def server(store, tmp_path_factory):
    bundle = tmp_path_factory.mktemp("by_entity") / "bundle"
    network(0).write_bundle(bundle, store.reference)
    server = Server(bundle)
    yield server
    code, output = server.end()
    assert code == 0, output
    assert "Traceback" not in output


def predict(server, *keys):
    instances = [{"patient_id": key} for key in keys]
    return httpx.post(f"{server.url}/v1/models/heart:predict", json={"instances": instances})


def test_keys_alone_give_what_their_features_give(server):
    expected = network(0).predict(ROW, SPARSE_ROW)

    assert predict(server, 1, 2).json()["predictions"] == pytest.approx(expected, abs=1e-6)
    for tensor in (
        {"name": "patient_id", "shape": [2], "datatype": "INT64", "data": [1, 2]},
        {"name": "patient_id", "shape": [2, 1], "datatype": "INT64", "data": [[1], [2]]},
    ):
        answer = httpx.post(f"{server.url}/v2/models/heart/infer", json={"inputs": [tensor]}).json()
        assert answer["outputs"][0]["data"] == pytest.approx(expected, abs=1e-6)


def test_keys_may_be_bytes(server):
    keys = np.array([2, 1], "<i8").tobytes()
    parameters = {"binary_data_size": len(keys)}
    tensor = {"name": "patient_id", "shape": [2], "datatype": "INT64", "parameters": parameters}
    text = json.dumps({"inputs": [tensor]}).encode()

    answer = httpx.post(
        f"{server.url}/v2/models/heart/infer",
        content=text + keys,
        headers={"Inference-Header-Content-Length": str(len(text))},
    )

    expected = network(0).predict(SPARSE_ROW, ROW)
    assert answer.json()["outputs"][0]["data"] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("keys", "status", "message"),
    [
        ([1, 99], 404, "instance 1: the online store has no patient_id 99."),
        ([1, "1"], 400, "instance 1, column patient_id: expected a whole number"),
        ([None], 400, "instance 0, column patient_id: expected a key (integer)"),
        ([3], 400, "instance 0, column age: expected 18 to 110 years, received 3"),
        ([4], 400, "instance 0, column age: expected a value"),
    ],
)
def test_a_key_that_leads_to_no_prediction_says_why(server, keys, status, message):
    answer = predict(server, *keys)

    assert answer.status_code == status
    assert message in answer.json()["error"]


def test_a_key_beside_features_is_refused(server):
    instances = [{"patient_id": 1, **ROW}]
    answer = httpx.post(f"{server.url}/v1/models/heart:predict", json={"instances": instances})

    assert answer.status_code == 400
    assert "column patient_id: expected only the model's columns" in answer.json()["error"]


def test_an_unknown_entitys_features_are_missing_where_the_bundle_says_fill(store, tmp_path):
    bundle = tmp_path / "bundle"
    reference = store.reference.model_copy(update={"unknown_entity": "fill"})
    network(0).write_bundle(bundle, reference)
    server = Server(bundle)
    answer = predict(server, 2, 99)
    assert server.end()[0] == 0
    assert answer.status_code == 400
    assert "instance 1, column age: expected a value (integer, 18 to 110 years)" in answer.json()["error"]

    # Once every column may be missing, there is nothing to refuse.
    columns = json.loads((bundle / BUNDLE_DICTIONARY).read_text())["columns"]
    fills = {"age": 54.0, "income": 30_000.0}
    for column in columns:
        column["missing"] = "median" if column["name"] in fills else column["missing"]
    edit_json(bundle / BUNDLE_DICTIONARY, columns=columns)
    fitted = json.loads((bundle / BUNDLE_TRANSFORM).read_text())["columns"]
    for column in fitted:
        column["fill"] = fills.get(column["name"], column["fill"])
    edit_json(bundle / BUNDLE_TRANSFORM, columns=fitted)
    seal(bundle, reference)
    server = Server(bundle)
    filled = {"age": 54, "oldpeak": 1.0, "exang": False, "thal": None, "income": 30_000.0}
    expected = network(0).predict(SPARSE_ROW, filled)

    assert predict(server, 2, 99).json()["predictions"] == pytest.approx(expected, abs=1e-6)
    tensor = {"name": "patient_id", "shape": [2], "datatype": "INT64", "data": [2, 99]}
    answer = httpx.post(f"{server.url}/v2/models/heart/infer", json={"inputs": [tensor]}).json()
    assert answer["outputs"][0]["data"] == pytest.approx(expected, abs=1e-6)
    assert server.end()[0] == 0


def test_a_new_materialization_is_read_at_once(server, store):
    assert predict(server, 5).status_code == 404

    store.write({1: SPARSE_ROW, 5: ROW}, day=1)

    expected = network(0).predict(SPARSE_ROW, ROW)
    assert predict(server, 1, 5).json()["predictions"] == pytest.approx(expected, abs=1e-6)


def test_the_time_that_the_store_takes_is_counted(server):
    def count():
        page = httpx.get(f"{server.url}/metrics").text
        (line,) = (line for line in page.splitlines() if line.startswith("mulgil_online_store_seconds_count"))
        return int(line.rsplit(" ", 1)[1])

    before = count()
    predict(server, 2)

    assert count() == before + 1


def test_dates_are_stored_and_read_as_feast_has_them_and_the_rows_own_time_is_told(tmp_path):
    columns = [column.model_dump(exclude_unset=True) for column in DICTIONARY.columns]
    columns += [
        {"name": "since", "role": "input", "type": "timestamp", "missing": "keep", "description": "Since."},
        {
            "name": "age_of_it",
            "type": "float",
            "derived": "days_between(since, seen_at)",
            "description": "A.",
        },
        {"name": "hour_of_it", "type": "float", "derived": "hour(seen_at)", "description": "Hour."},
    ]
    dictionary = DataDictionary.model_validate({"columns": columns})
    store = Store(tmp_path, dictionary)
    moments = {
        1: datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC),
        2: datetime(2020, 2, 29, tzinfo=UTC),
        3: None,
    }
    store.write({key: {**ROW, "since": moment} for key, moment in moments.items()}, day=1.5)

    ours, feasts = store.read(list(moments)), store.read_with_feast(list(moments))

    assert [row["since"] for row in feasts] == [*moments.values()]
    read = OnlineStore(store.reference, dictionary)
    typed = read.decode(read.read(list(moments)))
    for rows in (ours, [{name: getattr(one, name) for name in ours[0]} for one in typed]):
        assert [read_moment(row["since"]) for row in rows] == [*moments.values()]
        assert {row["seen_at"] for row in rows} == {"2020-01-02T12:00:00+00:00"}
    # The quick way and the contract's give the same.
    derivation = Derivation(dictionary.features[-2], dictionary.inputs)
    checked = ContractCheck(dictionary).check({n: [row[n] for row in ours[:2]] for n in ours[0]}, 2)
    expected = [derivation.of_columns(checked, place) for place in range(2)]
    assert [derivation.of_instance(one) for one in typed[:2]] == expected
    assert expected[1] == -57.5
