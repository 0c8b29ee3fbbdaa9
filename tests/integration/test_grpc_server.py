"""V2 over gRPC, as KServe's client and a broken one meet it."""

import grpc
import numpy as np
import pytest
from kserve import InferenceGRPCClient, InferInput, InferRequest
from model_servers import Server, free_port, start
from served_bundles import ROW, SPARSE_ROW, network

METHOD = "/inference.GRPCInferenceService/"


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    path = tmp_path_factory.mktemp("rpc") / "bundle"
    network(0).write_bundle(path)
    return path


@pytest.fixture(scope="module")
def address(bundle):
    port = free_port()
    server = Server(bundle, "--grpc-port", str(port))
    yield f"127.0.0.1:{port}"
    code, output = server.end()
    assert code == 0, output
    assert "Traceback" not in output


def inputs(in_bytes):
    columns = {
        "age": ("INT64", np.array([63, 41], np.int64)),
        "oldpeak": ("FP64", np.array([2.3, np.nan], np.float64)),
        "exang": ("FP32", np.array([1, np.nan], np.float32)),
        "thal": ("BYTES", np.array([b"6", b""], np.object_)),
        "income": ("FP32", np.array([41_000.0, 12_000.0], np.float32)),
    }
    tensors = []
    for name, (datatype, values) in columns.items():
        tensors.append(InferInput(name, [2], datatype))
        if in_bytes:
            tensors[-1].set_data_from_numpy(values, binary_data=True)
        else:
            tensors[-1]._data = values.tolist()
    return tensors


@pytest.mark.anyio
@pytest.mark.parametrize("in_bytes", [True, False])
async def test_kserves_client_infers(address, in_bytes):
    client = InferenceGRPCClient(address)

    answer = await client.infer(InferRequest("heart", inputs(in_bytes), request_id="mine-1"))

    assert (answer.id, answer.model_name, answer.model_version) == ("mine-1", "heart", "7")
    (output,) = answer.outputs
    assert (output.name, output.shape, output.datatype) == ("probability", [2], "FP32")
    assert output.as_numpy().tolist() == pytest.approx(network(0).predict(ROW, SPARSE_ROW), abs=1e-6)
    await client.close()


@pytest.mark.anyio
async def test_kserves_client_asks_for_health(address):
    client = InferenceGRPCClient(address)

    assert await client.is_server_live()
    assert await client.is_server_ready()
    assert await client.is_model_ready("heart")
    await client.close()


@pytest.mark.anyio
async def test_kserves_client_is_told_why_a_request_is_refused(address):
    client = InferenceGRPCClient(address)
    tensors = inputs(in_bytes=True)
    tensors[0].set_data_from_numpy(np.array([63, 3], np.int64), binary_data=True)

    with pytest.raises(grpc.RpcError, match="instance 1, column age: expected 18 to 110 years") as refusal:
        await client.infer(InferRequest("heart", tensors))
    assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT

    with pytest.raises(grpc.RpcError, match="Model with name other does not exist") as refusal:
        await client.infer(InferRequest("other", tensors))
    assert refusal.value.code() is grpc.StatusCode.NOT_FOUND
    await client.close()


def call(address, method, content):
    with grpc.insecure_channel(address) as channel:
        return channel.unary_unary(METHOD + method)(content, timeout=5)


@pytest.mark.parametrize(
    ("method", "content", "code", "message"),
    [
        ("ModelInfer", b"\xff\xff\xff", grpc.StatusCode.INVALID_ARGUMENT, "not one of this call's"),
        ("ModelInfer", b"", grpc.StatusCode.NOT_FOUND, "does not exist"),
        ("ModelInfer", b"\n\x05heart", grpc.StatusCode.INVALID_ARGUMENT, "`inputs` is empty"),
        ("ModelInfer", b"\n\x05heart\x12\x016", grpc.StatusCode.NOT_FOUND, "version 6 does not exist"),
        ("ModelInfer", b"\n\x05heart:\x01a", grpc.StatusCode.INVALID_ARGUMENT, "expected one a tensor, 0"),
        ("ModelReady", b"\n\x05other", grpc.StatusCode.NOT_FOUND, "does not exist"),
        ("ModelRead", b"", grpc.StatusCode.UNIMPLEMENTED, ""),
    ],
)
def test_what_is_not_a_request_is_refused_and_the_server_goes_on(address, method, content, code, message):
    with pytest.raises(grpc.RpcError) as refusal:
        call(address, method, content)

    assert refusal.value.code() is code
    assert message in refusal.value.details()
    assert call(address, "ServerReady", b"") == b"\x08\x01"


def test_metadata_has_the_dictionarys_columns(address):
    content = call(address, "ModelMetadata", b"\n\x05heart")

    assert all(name.encode() in content for name in (*ROW, "probability", "FP64"))


def test_a_taken_port_is_worth_a_retry(address, bundle):
    process = start(bundle, free_port(), "--grpc-port", address.rpartition(":")[2])
    output, _ = process.communicate(timeout=20)

    assert process.returncode == 75, output
    assert f"Cannot listen on {address}" in output
