"""Values out of range that the dictionary says to take, and predictions explained, as clients see both."""

import itertools
import json
import re

import grpc
import httpx
import numpy as np
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as messages
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub
from model_servers import Server, free_port
from served_bundles import ROW, SPARSE_ROW, edit_json, network, seal

from mulgil.artifacts import BUNDLE_BACKGROUND, BUNDLE_DICTIONARY, Background
from mulgil.serving.application import Application
from mulgil.serving.messages import Request
from mulgil.serving.model import ServedModel

POLICIES = {"age": "clip", "income": "pass"}
BACKGROUND = [ROW, SPARSE_ROW, {**ROW, "age": 30, "thal": "3"}]
# The age is clipped to 110, and the income is predicted from as it is.
OUTSIDE = {**ROW, "age": 300, "income": -987_654.0}
TAKEN = {**OUTSIDE, "age": 110}
WARNING = (
    "instance 0, column age: expected 18 to 110 years, received 300{point}, clipped; "
    "instance 0, column income: expected 0 to 1000000, received (hidden), passed"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    bundle = tmp_path_factory.mktemp("policies") / "bundle"
    network(0).write_bundle(bundle)
    columns = json.loads((bundle / BUNDLE_DICTIONARY).read_text())["columns"]
    for column in columns:
        column["out_of_range"] = POLICIES.get(column["name"], "refuse")
    edit_json(bundle / BUNDLE_DICTIONARY, columns=columns)
    Background(instances=tuple(BACKGROUND)).write(bundle / BUNDLE_BACKGROUND)
    seal(bundle)
    port = free_port()
    server = Server(bundle, f"--grpc-port={port}")
    server.bundle = bundle
    server.grpc_address = f"127.0.0.1:{port}"
    yield server
    code, output = server.end()
    assert code == 0
    assert "Traceback" not in output and "987654" not in output


def tensors(in_bytes):
    datatypes = {"age": "INT64", "oldpeak": "FP64", "exang": "BOOL", "thal": "BYTES", "income": "FP64"}
    if not in_bytes:
        return [
            {"name": name, "shape": [1], "datatype": datatypes[name], "data": [value]}
            for name, value in OUTSIDE.items()
        ], b""
    numbers = np.array([[300, 2.3, 1, 6, -987_654.0]], "<f8").tobytes()
    parameters = {"binary_data_size": len(numbers)}
    return [{"name": "rows", "shape": [1, 5], "datatype": "FP64", "parameters": parameters}], numbers


def test_v1_takes_what_the_dictionary_says_and_warns(server):
    answer = httpx.post(f"{server.url}/v1/models/heart:predict", json={"instances": [OUTSIDE, ROW]})

    assert answer.json()["predictions"] == pytest.approx(network(0).predict(TAKEN, ROW), abs=1e-6)
    assert answer.headers["x-contract-warning"] == WARNING.format(point="")


@pytest.mark.parametrize("in_bytes", [False, True])
def test_v2_takes_it_too_as_json_and_as_bytes(server, in_bytes):
    inputs, content = tensors(in_bytes)
    text = json.dumps({"inputs": inputs}).encode()
    headers = {"Inference-Header-Content-Length": str(len(text))} if in_bytes else {}

    answer = httpx.post(f"{server.url}/v2/models/heart/infer", content=text + content, headers=headers)

    (output,) = answer.json()["outputs"]
    assert output["data"] == pytest.approx(network(0).predict(TAKEN), abs=1e-6)
    assert answer.headers["x-contract-warning"] == WARNING.format(point=".0" if in_bytes else "")


def test_grpc_takes_it_too_and_warns_in_its_metadata(server):
    tensor = messages.ModelInferRequest.InferInputTensor(name="rows", datatype="FP64", shape=[1, 5])
    tensor.contents.fp64_contents.extend([300, 2.3, 1, 6, -987_654.0])
    with grpc.insecure_channel(server.grpc_address) as channel:
        stub = GRPCInferenceServiceStub(channel)
        answer, call = stub.ModelInfer.with_call(
            messages.ModelInferRequest(model_name="heart", inputs=[tensor])
        )

    assert list(answer.outputs[0].contents.fp32_contents) == pytest.approx(
        network(0).predict(TAKEN), abs=1e-6
    )
    assert dict(call.trailing_metadata())["x-contract-warning"] == WARNING.format(point=".0")


def test_what_is_in_range_gets_no_warning_and_other_mistakes_are_refused(server):
    url = f"{server.url}/v1/models/heart:predict"

    assert "x-contract-warning" not in httpx.post(url, json={"instances": [ROW]}).headers
    refused = httpx.post(url, json={"instances": [{**OUTSIDE, "thal": "9"}]})
    assert refused.status_code == 400
    assert refused.json()["error"] == "instance 0, column thal: expected one of 3, 6, 7, received '9'."
    beyond = httpx.post(url, json={"instances": [{**ROW, "income": 1e300}]})
    assert "column income: expected a number that float32 holds, received (hidden)" in beyond.json()["error"]


def test_metrics_count_what_became_of_such_values(server):
    httpx.post(f"{server.url}/v1/models/heart:predict", json={"instances": [OUTSIDE]})
    lines = httpx.get(f"{server.url}/metrics").text.splitlines()
    counts = {
        (column, outcome): float(line.rsplit(" ", 1)[1])
        for line in lines
        for column in ("age", "income", "thal")
        for outcome in ("clipped", "passed", "refused")
        if f'column="{column}",outcome="{outcome}"' in line
    }

    assert counts["age", "clipped"] > 0 and counts["income", "passed"] > 0
    assert counts["age", "refused"] == counts["age", "passed"] == counts["thal", "clipped"] == 0


def test_a_prediction_is_explained_by_columns_and_the_shares_add_up(server):
    answer = httpx.post(f"{server.url}/v1/models/heart:explain", json={"instances": [ROW, SPARSE_ROW]})
    content = answer.json()

    expected = network(0).predict(ROW, SPARSE_ROW)
    mean = np.mean(network(0).predict(*BACKGROUND))
    for one, prediction in zip(content["explanations"], expected, strict=True):
        assert one["prediction"] == pytest.approx(prediction, abs=1e-6)
        assert one["expectation"] == pytest.approx(mean, abs=1e-6)
        assert list(one["attributions"]) == list(ROW)
        assert sum(one["attributions"].values()) == pytest.approx(prediction - mean, abs=1e-6)
        assert set(one["standard_errors"].values()) == {0.0}
    assert content["columns"]["age"] == {"description": "Age.", "unit": "years"}
    assert "41000" not in answer.text and "12000" not in answer.text


def test_an_explanation_is_refused_as_a_prediction_is(server):
    url = f"{server.url}/v1/models/heart:explain"

    refused = httpx.post(url, json={"instances": [{**ROW, "thal": "9"}]})
    assert (refused.status_code, "column thal" in refused.json()["error"]) == (400, True)
    assert httpx.post(url, json={"instances": [ROW] * 65}).status_code == 400
    clipped = httpx.post(url, json={"instances": [OUTSIDE]})
    assert clipped.headers["x-contract-warning"] == WARNING.format(point="")
    assert clipped.json()["explanations"][0]["prediction"] == pytest.approx(
        network(0).predict(TAKEN)[0], abs=1e-6
    )


def test_an_explanation_that_takes_too_long_is_given_up(server, monkeypatch):
    """The clock stands for a slow model: it is a second later at each look."""
    served = Application(ServedModel(server.bundle), name="heart", version="7")
    seconds = itertools.count()
    monkeypatch.setattr("mulgil.serving.explanation._MOST_EXACT_ROWS", 0)
    monkeypatch.setattr("mulgil.serving.application._MOST_EXPLAIN_SECONDS", 5.0)
    monkeypatch.setattr("mulgil.serving.model.time.monotonic", lambda: float(next(seconds)))
    body = json.dumps({"instances": [ROW] * 9}).encode()

    answer = served.handle(Request("POST", "/v1/models/heart:explain", {}, body))

    assert answer.status == 503
    told = json.loads(answer.body)["error"]
    assert re.fullmatch(r"[1-4] of 9 instances were explained within 5 s, .* ask for fewer at once\.", told)


def test_a_bundle_of_before_predicts_and_says_that_it_cannot_explain(tmp_path):
    network(0).write_bundle(tmp_path / "bundle")
    server = Server(tmp_path / "bundle")
    body = {"instances": [ROW]}

    assert httpx.post(f"{server.url}/v1/models/heart:predict", json=body).status_code == 200
    answer = httpx.post(f"{server.url}/v1/models/heart:explain", json=body)
    server.end()

    assert answer.status_code == 404
    assert "no background to explain against: train and deploy it again" in answer.json()["error"]
