"""Every prediction, from the request to the table that it is read from."""

import asyncio
import json
import os
import struct
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from feature_stores import Store
from kserve import InferenceGRPCClient, InferInput, InferRequest
from model_servers import Server, free_port
from prediction_logs import CollectorProcess, wait_until
from served_bundles import ROW, SPARSE_ROW, network

from mulgil.prediction_log.reading import read_predictions

TENSORS = [
    {"name": "age", "shape": [2], "datatype": "INT64", "data": [63, 41]},
    {"name": "oldpeak", "shape": [2], "datatype": "FP64", "data": [2.3, None]},
    {"name": "income", "shape": [2], "datatype": "FP64", "data": [41000, 12000]},
]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("logged")
    store = Store(folder / "store")
    store.write({12: ROW, 13: SPARSE_ROW})
    network(0).write_bundle(folder / "bundle", store.reference)
    return folder / "bundle"


@pytest.fixture
def collector(tmp_path):
    collector = CollectorProcess(tmp_path / "log")
    yield collector
    if collector.process.poll() is None:
        collector.end()


@pytest.fixture(scope="module")
def idle_collector(tmp_path_factory):
    collector = CollectorProcess(tmp_path_factory.mktemp("idle"))
    yield collector
    collector.end()


def counts(server):
    page = httpx.get(f"{server.url}/metrics").text
    lines = (line.rpartition(" ") for line in page.splitlines() if line.startswith("mulgil_prediction_log"))
    return {
        ("sent" if "sent" in n else "dropped" if "dropped" in n else "buffered"): int(v) for n, _, v in lines
    }


def read_all(root, count):
    """The table, once it has the records of so many requests."""

    def records():
        return len(set(read_predictions(root, "heart")["_id"].to_pylist()))

    wait_until(lambda: records() >= count)
    table = read_predictions(root, "heart")
    assert len(set(table["_id"].to_pylist())) == count
    return table.to_pylist()


def test_each_form_of_a_request_is_kept_with_its_columns_and_its_answer(bundle, collector):
    grpc_port = free_port()
    server = Server(
        bundle, "--log-url", collector.url, "--grpc-port", str(grpc_port), "--namespace", "clinic"
    )
    v1, v2 = f"{server.url}/v1/models/heart:predict", f"{server.url}/v2/models/heart/infer"
    answered = [
        httpx.post(v1, json={"instances": [ROW, SPARSE_ROW]}, headers={"X-Request-Id": 'mine"1'}),
        httpx.post(v1, json={"instances": [list(ROW.values())]}),
        httpx.post(v2, json={"inputs": TENSORS}),
        httpx.post(v2, json={"inputs": TENSORS, "parameters": {"binary_data_output": True}}),
        httpx.post(v1, json={"instances": [{"patient_id": 13}, {"patient_id": 12}]}),
        httpx.post(v1, json={"instances": [{**ROW, "age": 630}]}),
        httpx.post(v1, content=b"\xff{not json"),
    ]
    ages = struct.pack("<2q", 63, 41)
    head = json.dumps(
        {
            "inputs": [
                {
                    **{k: TENSORS[0][k] for k in ("name", "shape", "datatype")},
                    "parameters": {"binary_data_size": 16},
                },
                *TENSORS[1:],
            ]
        }
    ).encode()
    answered.append(
        httpx.post(v2, content=head + ages, headers={"Inference-Header-Content-Length": str(len(head))})
    )

    async def call():
        client = InferenceGRPCClient(f"127.0.0.1:{grpc_port}")
        rows = InferInput("rows", [1, 5], "FP64", data=[63, 2.3, 1, 6, 41_000])
        return (await client.infer(InferRequest("heart", [rows]))).outputs[0].data

    (by_grpc,) = asyncio.run(call())
    assert [answer.status_code for answer in answered] == [200] * 5 + [400] * 2 + [200]
    server.end()

    rows = read_all(collector.root, 9)
    by_request = {}
    for row in rows:
        by_request.setdefault(row["_id"], []).append(row)
    first, second, third, fourth, entity, wrong, broken, binary, grpc = by_request.values()

    expected = network(0).predict(ROW, SPARSE_ROW)
    for request in (first, third, fourth, binary):
        assert [row["_prediction"] for row in request] == pytest.approx(
            answered[0].json()["predictions"], abs=0.5
        )
    assert [row["_prediction"] for row in first] == pytest.approx(expected, abs=1e-6)
    assert first[0]["_prediction_id"] == 'mine"1'
    assert second[0]["_prediction_id"] == answered[1].headers["X-Request-Id"]
    assert [(row["age"], row["oldpeak"], row["exang"], row["thal"]) for row in first] == [
        (63, 2.3, True, "6"),
        (41, None, None, None),
    ]
    assert [row["age"] for row in (*third, *binary)] == [63, 41, 63, 41]
    assert (second[0]["thal"], second[0]["_instances"], second[0]["_protocol"]) == ("6", 1, "v1")
    assert {row["income"] for row in rows} == {None}
    assert [(r["patient_id"], r["age"], r["_by_entity"]) for r in entity] == [(13, 41, True), (12, 63, True)]
    assert [row["_prediction"] for row in entity] == pytest.approx(expected[::-1], abs=1e-6)
    assert (wrong[0]["_status"], wrong[0]["age"]) == (400, None)
    assert "expected 18 to 110 years, received 630" in wrong[0]["_error"]
    assert broken[0]["_status"] == 400 and "not JSON" in broken[0]["_error"]
    assert grpc[0]["_protocol"] == "grpc" and grpc[0]["age"] == 63
    assert grpc[0]["_prediction"] == pytest.approx(by_grpc, abs=1e-6)
    for row in rows:
        assert row["_version"] == "7" and row["_namespace"] == "clinic"
        assert 0 < row["_latency_seconds"] < 1
        assert abs(row["_time"] - datetime.now(UTC)) < timedelta(minutes=1)
    (part, *_) = collector.root.glob("date=*/model=heart/version=7/part-*.parquet")
    assert part.exists()


def test_what_is_sensitive_is_nowhere_in_the_folder_and_hashes_by_a_key_tell_equal_from_unequal(
    bundle, tmp_path
):
    environment = {**os.environ, "MULGIL_LOG_HASH_KEY": "a key"}
    collector = CollectorProcess(tmp_path / "log", flush_seconds=60, environment=environment)
    server = Server(bundle, "--log-url", collector.url)
    incomes = [123456.75, 123456.75, 654321.25]
    for income in incomes:
        httpx.post(f"{server.url}/v1/models/heart:predict", json={"instances": [{**ROW, "income": income}]})
    wrong = {**ROW, "income": -987654.5}
    httpx.post(f"{server.url}/v1/models/heart:predict", json={"instances": [wrong]})
    wait_until(lambda: counts(server)["sent"] == 4)
    server.end()
    # In the journal, before it is Parquet.
    journal = b"".join(path.read_bytes() for path in collector.root.rglob("*") if path.is_file())
    assert b"heart" in journal
    collector.end()
    written = b"".join(path.read_bytes() for path in collector.root.rglob("*") if path.is_file())
    for content in (journal, written):
        for number in (*incomes, -987654.5):
            assert str(number).encode() not in content
            assert struct.pack("<d", number) not in content and struct.pack(">d", number) not in content

    hashes = [row["income"] for row in read_all(collector.root, 4)]
    assert hashes[0] == hashes[1] != hashes[2] and len(hashes[0]) == 16
    assert hashes[3] is None


def test_a_collector_that_is_down_costs_no_request_and_nothing_is_lost_when_it_comes_back(bundle, tmp_path):
    port = free_port()
    server = Server(bundle, "--log-url", f"http://127.0.0.1:{port}")
    for _ in range(20):
        assert (
            httpx.post(f"{server.url}/v1/models/heart:predict", json={"instances": [ROW]}).status_code == 200
        )
    assert counts(server) == {"sent": 0, "dropped": 0, "buffered": 20}

    collector = CollectorProcess(tmp_path / "log", port)
    wait_until(lambda: counts(server) == {"sent": 20, "dropped": 0, "buffered": 0})
    assert len(read_all(collector.root, 20)) == 20
    collector.kill()
    for _ in range(5):
        assert (
            httpx.post(f"{server.url}/v1/models/heart:predict", json={"instances": [ROW]}).status_code == 200
        )
    again = CollectorProcess(tmp_path / "log", port)
    code, output = server.end()
    assert code == 0 and "lost" not in output
    again.end()
    assert len(read_all(tmp_path / "log", 25)) == 25


def test_what_is_lost_past_the_buffer_is_counted_and_said(bundle):
    server = Server(bundle, "--log-url", f"http://127.0.0.1:{free_port()}")
    # Just not so long that it is recorded without its content.
    body = json.dumps({"instances": [ROW] * 48_000}).encode()
    answers = [
        httpx.post(f"{server.url}/v1/models/heart:predict", content=body, timeout=60) for _ in range(20)
    ]

    assert {answer.status_code for answer in answers} == {200}
    seen = counts(server)
    assert seen["dropped"] > 0 and seen["buffered"] + seen["dropped"] == 20
    _, output = server.end()
    assert "does not take it" in output and "20 records were lost" in output


def test_a_killed_collector_has_lost_nothing_that_it_acknowledged(bundle, tmp_path):
    collector = CollectorProcess(tmp_path / "log", flush_seconds=600)
    server = Server(bundle, "--log-url", collector.url)
    with httpx.Client() as client:
        for _ in range(300):
            client.post(f"{server.url}/v1/models/heart:predict", json={"instances": [ROW]})
    wait_until(lambda: counts(server)["sent"] == 300)
    collector.kill()
    server.end()
    assert read_predictions(tmp_path / "log", "heart").num_rows == 0
    # As a crash in the middle of a write leaves it.
    (segment, *_) = [path for path in (tmp_path / "log" / "journal").iterdir() if path.stat().st_size]
    segment.write_bytes(segment.read_bytes() + b"\x10\x00\x00\x00torn")

    again = CollectorProcess(tmp_path / "log")
    assert len(read_all(tmp_path / "log", 300)) == 300
    again.end()
    assert not [path for path in (tmp_path / "log" / "journal").iterdir() if path.stat().st_size]


def test_two_namespaces_do_not_share_what_a_model_of_one_name_means(bundle, tmp_path):
    collector = CollectorProcess(tmp_path / "log")
    server = Server(bundle, "--log-url", collector.url, "--namespace", "one")
    httpx.post(f"{server.url}/v1/models/heart:predict", json={"instances": [ROW]})
    wait_until(lambda: counts(server)["sent"] == 1)
    server.end()
    body = json.dumps({"instances": [ROW]}).encode()
    for namespace in ("one", "another"):
        names = {"ce-inferenceservicename": "heart", "ce-namespace": namespace}
        agent_event(collector, "request", namespace, body, **names)
        agent_event(collector, "response", namespace, b'{"predictions": [0.5]}', **names)
    collector.end()

    found = read_predictions(tmp_path / "log", "heart", namespace="one").to_pylist()
    assert [(row["age"], row["_payload"]) for row in found] == [(63, None)] * 2
    (other,) = read_predictions(tmp_path / "log", "heart", namespace="another").to_pylist()
    assert (other["age"], other["_payload"]) == (None, body.decode())


def test_an_odd_event_stops_neither_the_collector_nor_the_events_that_follow(tmp_path):
    collector = CollectorProcess(tmp_path / "log")
    for number, (status, moment, answer) in enumerate(
        [
            ("70000", "0001-01-01T00:00:00+14:00", b'{"predictions": [1]}'),
            ("200", "no time", b'{"predictions": [[1, 2], "a", null, true]}'),
            ("200", "2026-11-24T10:00:00Z", b'{"outputs": 3}'),
        ]
    ):
        more = {"ce-statuscode": status, "ce-time": moment}
        agent_event(collector, "response", str(number), answer, **more)
        agent_event(collector, "request", str(number), b"\xff", **more)
    huge = b'{"predictions": [%d]}' % 10**400
    headers = {"ce-id": "x", "ce-source": "s", "ce-type": "org.kubeflow.serving.inference.response"}
    assert httpx.post(collector.url, content=huge, headers=headers).status_code in (200, 400)
    agent_event(collector, "request", "last", b"{}")
    agent_event(collector, "response", "last", b'{"predictions": [7]}')
    output = collector.end()

    assert "set aside" not in output
    rows = read_predictions(tmp_path / "log", "sklearn-iris").to_pylist()
    assert {row["_id"] for row in rows} == {"0", "1", "2", "last"}
    assert [row["_answer"] for row in rows if row["_id"] == "1"] == ["[1,2]", '"a"', None, "true"]


def agent_event(collector, kind, identifier, body, **more):
    """An event as KServe's agent sends it: attributes in headers, the body as it was."""
    headers = {
        "Content-Type": "application/json",
        "ce-specversion": "1.0",
        "ce-id": identifier,
        "ce-type": f"org.kubeflow.serving.inference.{kind}",
        "ce-source": "http://localhost:9081/",
        "ce-time": "2026-11-24T10:00:00.5Z",
        "ce-recordedtime": "2026-11-24T10:00:01Z",
        "ce-inferenceservicename": "sklearn-iris",
        "ce-namespace": "kserve-test",
        "ce-component": "predictor",
        "ce-endpoint": "",
        "ce-metadata": "{}",
        **more,
    }
    answer = httpx.post(collector.url, content=body, headers=headers)
    assert answer.status_code == 200, answer.text


def test_events_of_kserves_own_agent_are_paired_by_id_whichever_comes_first_and_once(tmp_path):
    collector = CollectorProcess(tmp_path / "log", pair_seconds=5.0)
    agent_event(collector, "request", "a", b'{"instances": [[6.8, 2.8]]}')
    agent_event(collector, "response", "b", b'{"predictions": [1, 2]}')
    wait_until(lambda: len([*(tmp_path / "log" / "journal").iterdir()]) > 0)
    agent_event(collector, "response", "a", b'{"predictions": [1]}')
    agent_event(collector, "response", "a", b'{"predictions": [1]}')
    agent_event(collector, "request", "b", b'{"instances": [[1], [2]]}')
    agent_event(collector, "request", "alone", b"not json at all")

    def read():
        return read_predictions(tmp_path / "log", "sklearn-iris").to_pylist()

    wait_until(lambda: len(read()) == 4, seconds=30)
    collector.end()
    rows = sorted(read(), key=lambda row: (row["_id"], row["_instance"]))
    assert [(r["_id"], r["_prediction"], r["_payload"]) for r in rows] == [
        ("a", 1.0, '{"instances": [[6.8, 2.8]]}'),
        ("alone", None, "not json at all"),
        ("b", 1.0, '{"instances": [[1], [2]]}'),
        ("b", 2.0, '{"instances": [[1], [2]]}'),
    ]
    assert rows[0]["_time"] == datetime(2026, 11, 24, 10, 0, 0, 500_000, UTC)
    assert [path.name for path in (tmp_path / "log").glob("date=*")] == ["date=2026-11-24"]


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({}, b"{}", 415),
        ({"Content-Type": "application/cloudevents+json"}, b"{", 400),
        ({"Content-Type": "application/cloudevents-batch+json"}, b'[{"id": 1}]', 400),
        ({"ce-id": "a"}, b"{}", 400),
        ({"ce-id": "a", "ce-source": "b", "ce-type": "another"}, b"{}", 400),
        ({"Content-Type": "application/cloudevents-batch+json"}, b"[]", 200),
    ],
)
def test_what_is_no_event_is_refused_by_its_reason(idle_collector, headers, body, status):
    answer = httpx.post(idle_collector.url, content=body, headers=headers)

    assert answer.status_code == status
    assert ("error" in answer.json()) == (status != 200)
