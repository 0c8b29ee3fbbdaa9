"""Triton's own clients, unchanged, against the model server."""

import subprocess
import sys

import numpy as np
import pytest
from model_servers import Server, free_port
from served_bundles import ROW, SPARSE_ROW, network
from tritonclient import http as triton_http
from tritonclient.utils import InferenceServerException

COLUMNS = {
    "age": ("INT64", np.array([63, 41], np.int64)),
    "oldpeak": ("FP64", np.array([2.3, np.nan], np.float64)),
    "exang": ("FP32", np.array([1, np.nan], np.float32)),
    "thal": ("BYTES", np.array([b"6", b""], np.object_)),
    "income": ("FP64", np.array([41_000.0, 12_000.0], np.float64)),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    bundle = tmp_path_factory.mktemp("triton") / "bundle"
    network(0).write_bundle(bundle)
    port = free_port()
    server = Server(bundle, f"--grpc-port={port}")
    server.grpc_address = f"127.0.0.1:{port}"
    yield server
    code, output = server.end()
    assert code == 0
    assert "Traceback" not in output


@pytest.fixture
def client(server):
    with triton_http.InferenceServerClient(server.url.removeprefix("http://")) as client:
        yield client


def make_inputs(columns=COLUMNS):
    inputs = []
    for name, (datatype, values) in columns.items():
        inputs.append(triton_http.InferInput(name, list(values.shape), datatype))
        inputs[-1].set_data_from_numpy(values)
    return inputs


def test_it_asks_for_health_and_metadata(client):
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("heart")
    assert [tensor["name"] for tensor in client.get_model_metadata("heart")["inputs"]] == list(COLUMNS)


def test_it_infers_from_bytes(client):
    answer = client.infer("heart", make_inputs(), request_id="mine-1")

    scores = answer.as_numpy("probability")
    assert scores.tolist() == pytest.approx(network(0).predict(ROW, SPARSE_ROW), abs=1e-6)


def test_it_infers_from_one_matrix_and_names_the_output(client):
    rows = np.array([[63, 2.3, 1, 6, 41_000.0], [41, np.nan, np.nan, np.nan, 12_000.0]])
    outputs = [triton_http.InferRequestedOutput("probability")]

    answer = client.infer("heart", make_inputs({"rows": ("FP64", rows)}), outputs=outputs)

    scores = answer.as_numpy("probability")
    assert scores.tolist() == pytest.approx(network(0).predict(ROW, SPARSE_ROW), abs=1e-6)


def test_it_is_told_why_a_request_is_refused(client):
    columns = COLUMNS | {"age": ("INT64", np.array([63, 3], np.int64))}

    with pytest.raises(InferenceServerException, match="instance 1, column age: expected 18 to 110 years"):
        client.infer("heart", make_inputs(columns))


# Triton's gRPC messages and KServe's are of the same names, which one process holds once.
GRPC = """
import sys
import numpy as np
from tritonclient import grpc

with grpc.InferenceServerClient(sys.argv[1]) as client:
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("heart")
    rows = np.array([[63, 2.3, 1, 6, 41_000.0], [41, np.nan, np.nan, np.nan, 12_000.0]])
    tensor = grpc.InferInput("rows", list(rows.shape), "FP64")
    tensor.set_data_from_numpy(rows)
    print(*client.infer("heart", [tensor]).as_numpy("probability").tolist())
"""


def test_its_grpc_client_infers_too(server):
    done = subprocess.run(
        [sys.executable, "-c", GRPC, server.grpc_address], capture_output=True, text=True, check=True
    )

    scores = [float(score) for score in done.stdout.split()]
    assert scores == pytest.approx(network(0).predict(ROW, SPARSE_ROW), abs=1e-6)
