"""A served model of each task, as KServe's clients meet it: names, shapes, datatypes and numbers."""

import json

import grpc
import httpx
import numpy as np
import pytest
from kserve import InferenceGRPCClient, InferInput, InferRequest
from model_servers import Server, free_port
from openapi_pages import answer_problems
from served_bundles import ROW, SPARSE_ROW, dictionary_of, network, seal

from mulgil.artifacts import BUNDLE_BACKGROUND, Background
from mulgil.contract import Task
from mulgil.contract.answers import AnswerForm

TASKS = [task for task in Task if task is not Task.BINARY_CLASSIFICATION]


@pytest.fixture(scope="module", params=TASKS)
def served(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("task") / "bundle"
    network(0, request.param).write_bundle(path)
    Background(instances=(SPARSE_ROW, {**ROW, "age": 30})).write(path / BUNDLE_BACKGROUND)
    seal(path, task=request.param)
    server = Server(path, "--grpc-port", str(port := free_port()))
    server.task, server.rpc = request.param, f"127.0.0.1:{port}"
    server.answers = AnswerForm.of(request.param, dictionary_of(request.param))
    server.expected = network(0, request.param).predict(ROW, SPARSE_ROW)
    yield server
    code, output = server.end()
    assert code == 0, output
    assert "Traceback" not in output


def inputs():
    shape = [2]
    return [
        {"name": "age", "shape": shape, "datatype": "INT64", "data": [63, 41]},
        {"name": "oldpeak", "shape": shape, "datatype": "FP64", "data": [2.3, None]},
        {"name": "exang", "shape": shape, "datatype": "BOOL", "data": [True, None]},
        {"name": "thal", "shape": shape, "datatype": "BYTES", "data": ["6", None]},
        {"name": "income", "shape": shape, "datatype": "FP64", "data": [41_000.0, 12_000.0]},
    ]


def infer(served, **asked):
    return httpx.post(f"{served.url}/v2/models/heart/infer", json={"inputs": inputs(), **asked})


def test_v1_answers_by_name(served):
    answer = httpx.post(f"{served.url}/v1/models/heart:predict", json={"instances": [ROW, SPARSE_ROW]})

    for told, numbers in zip(answer.json()["predictions"], served.expected, strict=True):
        wanted = served.answers.tell(numbers)
        assert pytest.approx(flat(wanted), abs=1e-5) == flat(told)
        if served.task is Task.MULTICLASS_CLASSIFICATION:
            assert told["label"] == max(told["probabilities"], key=told["probabilities"].get)


def flat(told):
    if not isinstance(told, dict):
        return {"": told}
    return told.get("probabilities", told)


def test_each_class_label_and_target_is_explained_by_its_name(served):
    answer = httpx.post(f"{served.url}/v1/models/heart:explain", json={"instances": [ROW]})

    [explained] = answer.json()["explanations"]
    numbers = np.atleast_1d(served.expected[0]).tolist()
    names = served.answers.names or ("",)
    shares = [share if served.answers.names else {"": share} for share in explained["attributions"].values()]
    expectation = explained["expectation"] if served.answers.names else {"": explained["expectation"]}
    assert list(explained["attributions"]) == list(ROW)
    for name, number in zip(names, numbers, strict=True):
        gained = sum(share[name] for share in shares)
        assert expectation[name] + gained == pytest.approx(number, abs=1e-5 * max(1, abs(number)))
        assert any(share[name] for share in shares), "the comparison is of something"
    assert all(tuple(share) == tuple(names) for share in shares)


def test_v2_answers_what_its_metadata_announces(served):
    announced = httpx.get(f"{served.url}/v2/models/heart").json()["outputs"]
    outputs = infer(served).json()["outputs"]

    for known, output in zip(announced, outputs, strict=True):
        assert output["shape"] == [2, *known["shape"][1:]]
        assert len(output["data"]) == np.prod(output["shape"])
        assert (known["name"], known["datatype"]) == (output["name"], output["datatype"])
        assert known.get("parameters") == output.get("parameters")
        if "parameters" in known:
            assert json.loads(known["parameters"]["labels"]) == list(served.answers.names)
    wanted = served.answers.columns(served.expected)
    for output in outputs:
        if output["datatype"] == "FP32":
            assert output["data"] == pytest.approx(wanted[output["name"]], abs=1e-5)
        else:
            assert output["data"] == wanted[output["name"]]


def test_v2_gives_one_output_where_one_is_asked_for(served):
    name = served.answers.tensors[-1].name

    (output,) = infer(served, outputs=[{"name": name}]).json()["outputs"]
    refused = infer(served, outputs=[{"name": "others"}])

    assert output["name"] == name
    assert refused.status_code == 400
    assert name in refused.json()["error"]


def test_v2_gives_bytes_behind_the_json(served):
    answer = infer(served, parameters={"binary_data_output": True})

    length = int(answer.headers["inference-header-content-length"])
    outputs, content = json.loads(answer.content[:length])["outputs"], answer.content[length:]
    sizes = [output["parameters"]["binary_data_size"] for output in outputs]
    assert sum(sizes) == len(content)
    last = np.frombuffer(content[-sizes[-1] :], "<f4")
    wanted = served.answers.columns(served.expected)[outputs[-1]["name"]]
    assert last == pytest.approx(np.array(wanted), abs=1e-5)
    if served.task is Task.MULTICLASS_CLASSIFICATION:
        first = served.answers.label(served.expected[0]).encode()
        assert content.startswith(len(first).to_bytes(4, "little") + first)


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.mark.anyio
@pytest.mark.parametrize("in_bytes", [True, False])
async def test_kserves_grpc_client_reads_every_output(served, in_bytes):
    tensors = []
    for tensor in inputs():
        values = {
            "oldpeak": np.array([2.3, np.nan]),
            "exang": np.array([1, np.nan], np.float32),
            "thal": np.array([b"6", b""], np.object_),
        }.get(tensor["name"])
        datatype = {"exang": "FP32"}.get(tensor["name"], tensor["datatype"])
        tensors.append(InferInput(tensor["name"], [2], datatype))
        values = np.array(tensor["data"]) if values is None else values
        if in_bytes:
            tensors[-1].set_data_from_numpy(values, binary_data=True)
        else:
            tensors[-1]._data = values.tolist()
    client = InferenceGRPCClient(served.rpc)

    answer = await client.infer(InferRequest("heart", tensors))

    await client.close()
    wanted = served.answers.columns(served.expected)
    assert [output.name for output in answer.outputs] == [t.name for t in served.answers.tensors]
    for output in answer.outputs:
        got = output.as_numpy().reshape(-1).tolist()
        if output.datatype == "FP32":
            assert got == pytest.approx(wanted[output.name], abs=1e-5)
        else:
            assert [text.decode() if isinstance(text, bytes) else text for text in got] == wanted[output.name]


def test_grpcs_metadata_has_every_output(served):
    with grpc.insecure_channel(served.rpc) as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelMetadata")
        content = call(b"\n\x05heart", timeout=5)

    assert all(tensor.name.encode() in content for tensor in served.answers.tensors)


def test_the_openapi_page_describes_the_answers(served):
    for path in ("/v1/models/heart:predict", "/v1/models/heart:explain"):
        answer = httpx.post(served.url + path, json={"instances": [ROW]})
        assert answer.status_code == 200
        assert answer_problems(served, path, answer) == []
    assert answer_problems(served, "/v2/models/heart/infer", infer(served)) == []
