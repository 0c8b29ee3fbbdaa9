"""KServe's V1 and V2 bodies, in and out, without a server."""

import json

import pytest
from served_bundles import DICTIONARY, ROW

from mulgil.contract import Task
from mulgil.contract.answers import AnswerForm
from mulgil.serving import protocol_v1, protocol_v2
from mulgil.serving.contract_check import ContractViolationError
from mulgil.serving.messages import RequestError, parse_body

NAMES = tuple(ROW)
COLUMNS = {column.name: column for column in DICTIONARY.features}
PROBABILITY = AnswerForm.of(Task.BINARY_CLASSIFICATION, DICTIONARY)


def read_v1(body):
    return protocol_v1.read_columns(parse_body(protocol_v1.DECODER, json.dumps(body).encode()), NAMES)


def read_v2(body):
    request = parse_body(protocol_v2.DECODER, json.dumps(body).encode())
    protocol_v2.read_outputs(request, ("probability",))
    return protocol_v2.read_columns(request, COLUMNS)


def tensor(name="age", shape=(1,), datatype="INT64", data=(63,), **others):
    return {"name": name, "shape": list(shape), "datatype": datatype, "data": list(data), **others}


def test_v1_reads_instances_by_column():
    columns, rows = read_v1({"instances": [ROW, {"age": 41}]})

    assert rows == 2
    assert columns["age"] == [63, 41]
    assert columns["thal"] == ["6", None]


def test_v1_reads_ordered_lists_as_it_reads_objects():
    assert read_v1({"instances": [list(ROW.values())] * 2}) == read_v1({"instances": [ROW] * 2})


def test_v1_names_the_instance_of_an_unknown_column():
    with pytest.raises(ContractViolationError, match="instance 1, column sex"):
        read_v1({"instances": [ROW, {**ROW, "sex": 1}]})


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"instances": []}, "at least one"),
        ({"instances": [ROW, [1, 2]]}, "mixes objects and lists"),
        ({"instances": [[1, 2]]}, "expected 5 values in the order age, oldpeak"),
        ({"instances": ROW}, r"Expected `array`, got `object` - at `\$.instances`"),
        ({"instances": [3]}, r"\$.instances\[0\]"),
        ({"inputs": []}, "missing required field `instances`"),
        ([], "Expected `object`"),
        (None, "Expected `object`"),
    ],
)
def test_v1_refuses_a_body_of_another_form(body, message):
    with pytest.raises(RequestError, match=message) as refusal:
        read_v1(body)

    assert refusal.value.status == 400


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"instances=1",
        b'{"instances": [{"age": NaN}]}',
        b'{"instances": [{"age": 1e999}]}',
        b'{"instances": [{"age": "\xff"}]}',
        b'{"instances": [{"age": "\\ud800"}]}',
        b'{"instances": [{"age": ' + b"9" * 5000 + b"}]}",
        b'{"instances": ' + b"[" * 100_000,
        b'{"other": ' + b"[" * 100_000,
        b'{"instances": [{}]} trailing',
    ],
    ids=lambda body: repr(body[:40]),
)
def test_what_is_not_json_is_the_clients_mistake(body):
    with pytest.raises(RequestError) as refusal:
        parse_body(protocol_v1.DECODER, body)

    assert refusal.value.status == 400


@pytest.mark.parametrize(
    "inputs",
    [
        [tensor(shape=[2], data=[63, 41]), tensor("thal", [2], "BYTES", ["6", None])],
        [tensor(shape=[2, 1], data=[63, 41]), tensor("thal", [2, 1], "BYTES", ["6", None])],
        [tensor(shape=[2, 1], data=[[63], [41]]), tensor("thal", [2], "BYTES", ["6", None])],
    ],
    ids=["flat", "two-dimensional", "nested"],
)
def test_v2_reads_one_tensor_a_column(inputs):
    assert read_v2({"inputs": inputs}) == ({"age": [63, 41], "thal": ["6", None]}, 2)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"inputs": []}, "one tensor a column"),
        ({"inputs": [tensor(), tensor()]}, "more than one tensor of the column age"),
        ({"inputs": [tensor(shape=[])]}, r"expected the shape \[n\] or \[n, 1\]"),
        ({"inputs": [tensor(shape=[0], data=[])]}, r"expected the shape \[n\]"),
        ({"inputs": [tensor(shape=[-1])]}, r"expected the shape \[n\]"),
        ({"inputs": [tensor(shape=[1, 2], data=[1, 2])]}, r"received \[1, 2\]"),
        ({"inputs": [tensor(), tensor("oldpeak", [2], "FP64", [1, 2])]}, "input oldpeak: .* alike in all"),
        ({"inputs": [tensor(shape=[3])]}, "expected 3 values; received 1"),
        ({"inputs": [tensor(shape=[10**18])]}, "received 1"),
        ({"inputs": [tensor(datatype="FP16")]}, "expected the datatype FP64 or .*; received FP16"),
        ({"inputs": [tensor(datatype="BYTES", data=["63"])]}, "input age: .* received BYTES"),
        ({"inputs": [tensor(data=[63.5])]}, "every value to be INT64 or null"),
        ({"inputs": [tensor(data=[True])]}, "every value to be INT64 or null"),
        ({"inputs": [tensor(data=[[63]])]}, "every value to be INT64 or null"),
        (
            {"inputs": [{"name": "age", "shape": [1], "datatype": "INT64"}]},
            "expected `data`, or `binary_data",
        ),
        (
            {"inputs": [tensor("all", shape=[1, 4], data=[1] * 4)]},
            r"expected the shape \[n, 5\] of the columns age",
        ),
        ({"inputs": [tensor("all", shape=[0, 5], data=[])]}, r"expected the shape \[n, 5\]"),
        ({"inputs": [tensor("all", shape=[2, 5], data=[1] * 5)]}, "expected 10 values; received 5"),
        (
            {"inputs": [tensor("all", shape=[1, 5], datatype="BYTES", data=["1"] * 5)]},
            "for age; received BYTES",
        ),
        ({"inputs": [tensor("all", shape=[1, 5], data=[1.5] * 5)]}, "every value to be INT64 or null"),
        (
            {"inputs": [tensor()], "outputs": [{"name": "logits"}]},
            "expected only probability; received logits",
        ),
        ({"instances": [ROW]}, "missing required field `inputs`"),
    ],
)
def test_v2_refuses_a_body_of_another_form(body, message):
    with pytest.raises(RequestError, match=message) as refusal:
        read_v2(body)

    assert refusal.value.status == 400


def test_v2_names_an_unknown_column():
    with pytest.raises(ContractViolationError, match="column sex"):
        read_v2({"inputs": [tensor("sex")]})


def test_the_answers_are_those_of_the_protocols():
    answered = protocol_v1.answer([0.25, 0.5], PROBABILITY)
    assert json.loads(answered.body) == {"predictions": [0.25, 0.5]}
    written = protocol_v2.AnswerWriter("heart", "3", PROBABILITY).write([0.25, 0.5], "a-1", {})
    assert json.loads(written.body) == {
        "model_name": "heart",
        "model_version": "3",
        "id": "a-1",
        "outputs": [{"name": "probability", "shape": [2], "datatype": "FP32", "data": [0.25, 0.5]}],
    }


@pytest.mark.parametrize(
    ("asked", "is_binary"),
    [
        ({}, False),
        ({"parameters": {"binary_data_output": True}}, True),
        ({"parameters": {"binary_data_output": False}}, False),
        ({"outputs": [{"name": "probability"}]}, False),
        ({"outputs": [{"name": "probability", "parameters": {"binary_data": True}}]}, True),
        ({"outputs": [{"name": "probability"}], "parameters": {"binary_data_output": True}}, True),
        (
            {
                "outputs": [{"name": "probability", "parameters": {"binary_data": False}}],
                "parameters": {"binary_data_output": True},
            },
            False,
        ),
    ],
)
def test_the_answer_is_in_bytes_where_the_request_says_so(asked, is_binary):
    text = json.dumps({"inputs": [tensor()], **asked}).encode()

    wanted = protocol_v2.read_outputs(parse_body(protocol_v2.DECODER, text), ("probability",))
    assert wanted == {"probability": is_binary}


def test_metadata_has_the_dictionarys_names_types_and_shapes():
    metadata = protocol_v2.describe_model(
        name="heart", version="3", columns=DICTIONARY.features, answers=PROBABILITY
    )

    assert metadata["inputs"] == [
        {"name": "age", "datatype": "INT64", "shape": [-1]},
        {"name": "oldpeak", "datatype": "FP64", "shape": [-1]},
        {"name": "exang", "datatype": "BOOL", "shape": [-1]},
        {"name": "thal", "datatype": "BYTES", "shape": [-1]},
        {"name": "income", "datatype": "FP64", "shape": [-1]},
    ]
    assert metadata["outputs"] == [{"name": "probability", "datatype": "FP32", "shape": [-1]}]
    assert metadata["versions"] == ["3"]
