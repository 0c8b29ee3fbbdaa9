"""Features by entity in a real Redis: written by Feast, read by Feast and by the model server."""

import asyncio
import os
import signal
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import httpx
import pandas as pd
import pytest
import redis
from feast import ValueType
from feature_stores import Store
from kserve import InferenceGRPCClient, InferInput, InferRequest
from model_servers import Server, free_port
from row_stores import OTHER_ROWS, OTHERS, PLAIN, ROWS, START, RowStore, table
from served_bundles import ROW, SPARSE_ROW, network

from benchmarks.redis_server import run_redis
from components.materialize_features.staging import staged_store
from mulgil.errors import TemporaryError
from mulgil.online_stores import URL_VARIABLE

OURS = "feature_repo.redis_online_store.RedisRowOnlineStore"


@pytest.fixture
def server_of_rows(tmp_path):
    with run_redis(tmp_path) as server:
        yield server


@pytest.mark.parametrize(
    ("key_type", "keys"),
    [(ValueType.INT64, [1, -2, 0, 2**53 - 1, 128]), (ValueType.STRING, ["a", "물길", "", "x" * 300, "-2"])],
)
def test_feast_reads_the_same_from_ours_as_from_its_own(tmp_path, server_of_rows, key_type, keys):
    rows = table(ROWS | OTHER_ROWS, keys, [START + timedelta(days=i) for i in range(5)])
    answers = []
    for section in (
        {"type": OURS, "url": server_of_rows.url},
        {"type": "redis", "connection_string": server_of_rows.connection_string},
    ):
        store = RowStore(tmp_path / section["type"], section, fields=PLAIN | OTHERS, key_type=key_type)
        store.materialize(rows)
        answers.append(store.read([*keys, keys[0], keys[0] * 2]))

    assert repr(answers[0]) == repr(answers[1])


def test_of_two_rows_the_newer_stays_whichever_is_written_last(tmp_path, server_of_rows):
    store = RowStore(tmp_path / "store", {"type": OURS, "url": server_of_rows.url}, created="created")
    row = {"person": 1, "weight": 2.0, "visits": 2, "smoker": True}
    for stage, event, created, expected in (
        ("second", 1, 1, "second"),
        ("older", 0, 9, "second"),
        ("corrected", 1, 2, "corrected"),
        ("before 1970", -20_000, 9, "corrected"),
        ("corrected", 1, 2, "corrected"),
    ):
        seen_at, written = START + timedelta(days=event), START + timedelta(days=created)
        store.push([{**row, "stage": stage}], seen_at, written)
        assert store.read([1])["stage"] == [expected]


@pytest.fixture
def store(tmp_path, server_of_rows, monkeypatch):
    monkeypatch.setenv(URL_VARIABLE, server_of_rows.url)
    store = Store(tmp_path / "store")
    store.write({1: ROW, 2: SPARSE_ROW})
    return store


@pytest.fixture
def served(store, tmp_path):
    bundle = tmp_path / "bundle"
    network(0).write_bundle(bundle, store.reference)
    grpc_port = free_port()
    server = Server(bundle, "--grpc-port", str(grpc_port))
    server.grpc_port = grpc_port
    yield server
    code, output = server.end()
    assert code == 0, output
    assert "Traceback" not in output


def predict(server, *keys, client=httpx):
    instances = [{"patient_id": key} for key in keys]
    return client.post(f"{server.url}/v1/models/heart:predict", json={"instances": instances}, timeout=5)


def test_a_bundle_names_redis_without_its_address_and_keys_give_what_their_features_give(store, served):
    assert store.reference.store_kind == "redis"
    assert os.environ[URL_VARIABLE] not in store.reference.model_dump_json()
    expected = network(0).predict(ROW, SPARSE_ROW)

    assert predict(served, 1, 2).json()["predictions"] == pytest.approx(expected, abs=1e-6)
    tensor = {"name": "patient_id", "shape": [2], "datatype": "INT64", "data": [1, 2]}
    answer = httpx.post(f"{served.url}/v2/models/heart/infer", json={"inputs": [tensor]})
    assert answer.json()["outputs"][0]["data"] == pytest.approx(expected, abs=1e-6)
    assert answer.headers["X-Model-Version"] == "7"
    unknown = predict(served, 1, 99)
    assert unknown.status_code == 404
    assert unknown.json()["error"] == "instance 1: the online store has no patient_id 99."


def test_grpc_waits_for_the_rows_too(served):
    async def ask():
        client = InferenceGRPCClient(f"127.0.0.1:{served.grpc_port}")
        keys = InferInput("patient_id", [2], "INT64", data=[1, 2])
        answer = await client.infer(InferRequest("heart", [keys]))
        await client.close()
        return answer.outputs[0].data

    assert asyncio.run(ask()) == pytest.approx(network(0).predict(ROW, SPARSE_ROW), abs=1e-6)


def test_what_feast_reads_the_server_reads_and_a_new_materialization_at_once(store, served):
    assert store.read_with_feast([1, 2]) == [ROW, SPARSE_ROW]

    store.write({1: SPARSE_ROW, 5: ROW}, day=1)

    assert store.read_with_feast([1, 2, 5]) == [SPARSE_ROW, SPARSE_ROW, ROW]
    expected = network(0).predict(SPARSE_ROW, ROW)
    assert predict(served, 1, 5).json()["predictions"] == pytest.approx(expected, abs=1e-6)


def test_an_error_on_the_way_leaves_the_rows_as_they_were(store):
    with pytest.raises(RuntimeError), staged_store(store.layout, store.place) as staged:
        row = {"patient_id": 1, "seen_at": START + timedelta(days=9), **SPARSE_ROW}
        staged.write_to_online_store(store.objects.view.name, pd.DataFrame([row]))
        raise RuntimeError

    assert store.read_with_feast([1]) == [ROW]


def test_many_requests_at_once_get_each_its_own_answer(store, served):
    rows = {key: {**ROW, "age": 18 + key} for key in range(10, 90)}
    store.write(rows, day=2)
    expected = dict(zip(rows, network(0).predict(*rows.values()), strict=True))

    with ThreadPoolExecutor(16) as pool, httpx.Client() as client:
        keys = list(rows) * 5
        answers = list(pool.map(lambda key: predict(served, key, client=client).json(), keys))

    for key, answer in zip(keys, answers, strict=True):
        assert answer["predictions"] == pytest.approx([expected[key]], abs=1e-6)


def test_pipelined_requests_are_answered_in_order(served):
    by_key = b'{"instances": [{"patient_id": 1}]}'
    head = b"POST /v1/models/heart:predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b"
    asked = head % (len(by_key), by_key) + b"GET /v2 HTTP/1.1\r\nHost: x\r\n\r\n"
    answers = served.exchange(
        asked * 3 + b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )

    places = [answers.find(mark) for mark in (b"predictions", b'"mulgil"', b'"live"')]
    assert answers.count(b"HTTP/1.1 200") == 7
    assert -1 < places[0] < places[1] < places[2]
    assert answers.rstrip().endswith(b"}")


def test_a_silent_redis_costs_a_503_and_holds_nobody_else_up(served, server_of_rows):
    assert predict(served, 1).status_code == 200
    with httpx.Client() as client:
        os.kill(server_of_rows.pid, signal.SIGSTOP)
        try:
            with ThreadPoolExecutor(1) as pool:
                waiting = pool.submit(predict, served, 1)
                times = []
                while not waiting.done():
                    begun = time.perf_counter()
                    answer = client.post(f"{served.url}/v1/models/heart:predict", json={"instances": [ROW]})
                    times.append(time.perf_counter() - begun)
                    assert answer.status_code == 200
            refused = waiting.result()
        finally:
            os.kill(server_of_rows.pid, signal.SIGCONT)
    assert refused.status_code == 503
    assert "cannot be read" in refused.json()["error"]
    assert statistics.median(times) < 0.05 and len(times) > 5

    assert_recovers(served)


def test_a_redis_that_ends_and_comes_back_is_found_again(store, served, server_of_rows, tmp_path):
    assert predict(served, 1).status_code == 200
    os.kill(server_of_rows.pid, signal.SIGKILL)
    assert_eventually(lambda: predict(served, 1).status_code == 503)

    with run_redis(tmp_path, port=int(server_of_rows.url.rpartition(":")[2])):
        store.write({1: ROW}, day=3)
        assert_recovers(served)


def test_a_wrong_password_is_said_in_the_log_and_never_shown(tmp_path, monkeypatch):
    with run_redis(tmp_path, flags=("--requirepass", "right")) as server:
        port = server.url.rpartition(":")[2]
        monkeypatch.setenv(URL_VARIABLE, f"redis://:right@127.0.0.1:{port}/3")
        store = Store(tmp_path / "store")
        store.write({1: ROW})
        with redis.Redis(port=int(port), password="right", db=3) as client:
            assert client.hlen(store.reference.online_store) == 1
        bundle = tmp_path / "bundle"
        network(0).write_bundle(bundle, store.reference)
        for password, status in (("right", 200), ("secret-and-wrong", 503)):
            monkeypatch.setenv(URL_VARIABLE, f"redis://:{password}@127.0.0.1:{port}/3")
            server_of_models = Server(bundle)
            assert predict(server_of_models, 1).status_code == status
            _, output = server_of_models.end()
            assert ("refused AUTH" in output) == (status == 503)
            assert password not in output


def test_a_step_without_redis_says_so_and_how_to_go_on(tmp_path, monkeypatch):
    monkeypatch.setenv(URL_VARIABLE, f"redis://:hidden@127.0.0.1:{free_port()}")
    with pytest.raises(TemporaryError, match="Redis does not keep the features") as error:
        Store(tmp_path / "store").write({1: ROW})
    assert "hidden" not in str(error.value)


def assert_recovers(server):
    assert_eventually(lambda: predict(server, 1).status_code == 200)


def assert_eventually(condition, seconds=5):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
