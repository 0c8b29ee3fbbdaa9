"""The same bundle in KServe's own server: the real ModelServer, asked by KServe's clients, beside ours."""

import json
import signal
import subprocess
import sys
import time

import httpx
import numpy as np
import pytest
from feature_stores import write_whole_bundle
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput
from model_servers import Server, free_port
from served_bundles import ROW, SPARSE_ROW, network


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_whole_bundle(tmp_path_factory.mktemp("kserve_model"))


def command(bundle, *flags):
    program = (sys.executable, "-m", "mulgil.kserve_model")
    return [*program, "--model_name", "heart", "--model_dir", str(bundle), "--model_version", "7", *flags]


class KServeServer:
    """KServe's server of a bundle."""

    def __init__(self, bundle, log):
        port, grpc_port = free_port(), free_port()
        self.url, self.grpc_address = f"http://127.0.0.1:{port}", f"127.0.0.1:{grpc_port}"
        flags = ("--http_port", str(port), "--grpc_port", str(grpc_port))
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(command(bundle, *flags), stdout=output, stderr=output)
        while not self._is_ready():
            assert self._process.poll() is None, log.read_text()
            time.sleep(0.1)

    def _is_ready(self):
        try:
            return httpx.get(f"{self.url}/v2/models/heart/ready").status_code == 200
        except httpx.TransportError:
            return False

    def end(self):
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(timeout=20)


@pytest.fixture(scope="module")
def servers(bundle, tmp_path_factory):
    theirs = KServeServer(bundle, tmp_path_factory.mktemp("kserve_model_log") / "log")
    ours = Server(bundle)
    yield theirs, ours
    theirs.end()
    assert ours.end()[0] == 0


def tensors(**changes):
    columns = {
        "age": ("INT64", [63, 41]),
        "oldpeak": ("FP64", [2.3, None]),
        "exang": ("BOOL", [True, None]),
        "thal": ("BYTES", ["6", None]),
        "income": ("FP64", [41_000.0, 12_000.0]),
    } | changes
    return [{"name": n, "shape": [2], "datatype": d, "data": v} for n, (d, v) in columns.items()]


V1 = {
    "objects": [ROW, SPARSE_ROW],
    "lists": [list(ROW.values()), list(SPARSE_ROW.values())],
    "keys": [{"patient_id": 12}, {"patient_id": 13}],
    "a value out of range": [{**ROW, "age": 3}],
    "an unknown column": [{**ROW, "height": 3}],
    "a hidden value": [{**ROW, "income": -1}],
    "an unknown key": [{"patient_id": 99}],
    "nothing": [],
}
V2 = {
    "a tensor a column": {"inputs": tensors()},
    "an id and an output": {"id": "a", "inputs": tensors(), "outputs": [{"name": "probability"}]},
    "a value out of range": {"inputs": tensors(age=("INT64", [63, 3]))},
    "another datatype": {"inputs": tensors(thal=("FP16", [6, 7]))},
    "an empty text": {"inputs": tensors(thal=("BYTES", ["6", ""]))},
    "another output": {"inputs": tensors(), "outputs": [{"name": "another"}]},
    "keys": {"inputs": [{"name": "patient_id", "shape": [2], "datatype": "INT64", "data": [12, 13]}]},
    "an unknown key": {"inputs": [{"name": "patient_id", "shape": [1], "datatype": "INT64", "data": [99]}]},
}


def ask_both(servers, path, body):
    return [httpx.post(server.url + path, json=body) for server in servers]


def assert_alike(theirs, ours):
    assert (theirs.status_code, theirs.status_code < 500) == (ours.status_code, True), theirs.text
    if ours.status_code != 200:
        assert theirs.json()["error"] == ours.json()["error"]


@pytest.mark.parametrize("instances", V1.values(), ids=V1)
def test_v1_predicts_and_refuses_as_our_server_does(servers, instances):
    theirs, ours = ask_both(servers, "/v1/models/heart:predict", {"instances": instances})

    assert_alike(theirs, ours)
    if ours.status_code == 200:
        assert theirs.json()["predictions"] == pytest.approx(ours.json()["predictions"], abs=1e-6)
        assert theirs.headers["x-model-version"] == "7"


@pytest.mark.parametrize("body", V2.values(), ids=V2)
def test_v2_infers_and_refuses_as_our_server_does(servers, body):
    theirs, ours = ask_both(servers, "/v2/models/heart/infer", body)

    # What KServe's own model of a request does not let through is refused in its words.
    if "FP16" in json.dumps(body):
        assert (theirs.status_code, ours.status_code) == (400, 400)
        return
    assert_alike(theirs, ours)
    if ours.status_code == 200:
        (output,), (expected,) = theirs.json()["outputs"], ours.json()["outputs"]
        assert output.pop("data") == pytest.approx(expected.pop("data"), abs=1e-6)
        assert {key: output[key] for key in expected} == expected
        assert theirs.json()["id"] == body.get("id", theirs.headers["x-request-id"])


def test_it_explains_as_our_server_does(servers):
    theirs, ours = ask_both(servers, "/v1/models/heart:explain", {"instances": [ROW]})

    assert theirs.status_code == 200
    assert theirs.json() == ours.json()


def test_what_plain_curl_sends_is_understood(servers):
    answer = httpx.post(
        f"{servers[0].url}/v1/models/heart:predict",
        content=json.dumps({"instances": [ROW]}),
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )

    assert answer.json()["predictions"] == pytest.approx(network(0).predict(ROW), abs=1e-6)


@pytest.mark.anyio
@pytest.mark.parametrize("in_bytes", [True, False])
async def test_kserves_clients_are_answered(servers, in_bytes):
    expected = network(0).predict(ROW, SPARSE_ROW)
    columns = {
        "age": np.array([63, 41], np.int64),
        "oldpeak": np.array([2.3, np.nan], np.float64),
        "exang": np.array([1, np.nan], np.float32),
        "thal": np.array([b"6", b""], np.object_),
        "income": np.array([41_000.0, 12_000.0], np.float32),
    }
    if not in_bytes:
        # JSON has no NaN, and this client writes none.
        columns = {name: values[:1] for name, values in columns.items()}
        expected = expected[:1]
    datatypes = dict(zip(columns, ("INT64", "FP64", "FP32", "BYTES", "FP32"), strict=True))
    inputs = [InferInput(name, [len(values)], datatypes[name]) for name, values in columns.items()]
    for tensor in inputs:
        tensor.set_data_from_numpy(columns[tensor.name], binary_data=in_bytes)
    outputs = [RequestedOutput("probability", parameters={"binary_data": in_bytes})]
    request = InferRequest("heart", inputs, request_outputs=outputs)

    rest = InferenceRESTClient(RESTConfig(protocol="v2"))
    over_rest = await rest.infer(servers[0].url, request, model_name="heart")
    await rest.close()
    client = InferenceGRPCClient(servers[0].grpc_address)
    over_grpc = await client.infer(InferRequest("heart", inputs))
    await client.close()

    for answer in (over_rest, over_grpc):
        assert answer.outputs[0].as_numpy().tolist() == pytest.approx(expected, abs=1e-6)


def test_metadata_has_the_dictionarys_columns(servers):
    theirs, ours = [httpx.get(f"{server.url}/v2/models/heart").json() for server in servers]

    assert theirs["inputs"] == ours["inputs"]


def test_a_damaged_bundle_is_never_served_and_says_why(bundle, tmp_path):
    damaged = tmp_path / "bundle"
    network(1).write_bundle(damaged)
    (damaged / "model.tflite").unlink()

    done = subprocess.run(command(damaged), capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert "changed, missing or added: model.tflite" in done.stderr and "Traceback" not in done.stderr
