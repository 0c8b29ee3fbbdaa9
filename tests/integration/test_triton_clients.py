"""Triton's own clients, unchanged, against the model server."""

import numpy as np
import pytest
from model_servers import Server, free_port
from served_bundles import ROW, SPARSE_ROW, network
from tritonclient import grpc as triton_grpc
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


@pytest.fixture(params=["http", "grpc"])
def client(request, server):
    module = {"http": triton_http, "grpc": triton_grpc}[request.param]
    address = {"http": server.url.removeprefix("http://"), "grpc": server.grpc_address}[request.param]
    with module.InferenceServerClient(address) as client:
        client.module = module
        yield client


def make_inputs(module, columns=COLUMNS):
    inputs = []
    for name, (datatype, values) in columns.items():
        inputs.append(module.InferInput(name, list(values.shape), datatype))
        inputs[-1].set_data_from_numpy(values)
    return inputs


def test_it_asks_for_health_and_metadata(client):
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("heart")
    metadata = client.get_model_metadata("heart")
    inputs = metadata["inputs"] if isinstance(metadata, dict) else metadata.inputs
    assert len(inputs) == 5


def test_it_infers_from_bytes(client):
    answer = client.infer("heart", make_inputs(client.module), request_id="mine-1")

    scores = answer.as_numpy("probability")
    assert scores.tolist() == pytest.approx(network(0).predict(ROW, SPARSE_ROW), abs=1e-6)


def test_it_infers_from_one_matrix_and_names_the_output(client):
    rows = np.array([[63, 2.3, 1, 6, 41_000.0], [41, np.nan, np.nan, np.nan, 12_000.0]])
    outputs = [client.module.InferRequestedOutput("probability")]

    answer = client.infer("heart", make_inputs(client.module, {"rows": ("FP64", rows)}), outputs=outputs)

    scores = answer.as_numpy("probability")
    assert scores.tolist() == pytest.approx(network(0).predict(ROW, SPARSE_ROW), abs=1e-6)


def test_it_is_told_why_a_request_is_refused(client):
    columns = COLUMNS | {"age": ("INT64", np.array([63, 3], np.int64))}

    with pytest.raises(InferenceServerException, match="instance 1, column age: expected 18 to 110 years"):
        client.infer("heart", make_inputs(client.module, columns))
