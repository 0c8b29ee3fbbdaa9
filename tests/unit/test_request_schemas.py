"""The OpenAPI page says of a request what the server then does with it: any dictionary, any request."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from request_strategies import DATATYPES, OWN_DATATYPE, any_value, requests, tensors
from served_bundles import DICTIONARY, ROW, SPARSE_ROW
from strategies import dictionaries

from mulgil.contract import ColumnType, Task
from mulgil.contract.answers import AnswerForm
from mulgil.serving import protocol_v1, protocol_v2
from mulgil.serving.contract_check import ContractCheck, ContractViolationError
from mulgil.serving.entities import find_keys, find_keys_of_instances, read_keys
from mulgil.serving.messages import RequestError, parse_body
from mulgil.serving.openapi import describe_api
from mulgil.serving.request_schemas import example_value


def validator(dictionary, request):
    answers = AnswerForm.of(Task.BINARY_CLASSIFICATION, dictionary)
    metadata = protocol_v2.describe_model(name="m", version="1", columns=dictionary.features, answers=answers)
    page = describe_api(
        metadata,
        columns=dictionary.features,
        features=dictionary.features,
        entity=dictionary.entity,
        answers=answers,
        most_explained=1,
    )
    return Draft202012Validator({"$ref": f"#/components/schemas/{request}", **page})


def is_documented(dictionary, body):
    return validator(dictionary, "InferRequest" if "inputs" in body else "PredictRequest").is_valid(body)


def is_taken(dictionary, body):
    """Whether the contract check, or the reader of keys, lets a request through."""
    text = json.dumps(body).encode()
    try:
        if "inputs" in body:
            request = parse_body(protocol_v2.DECODER, text)
            by_name = {column.name: column for column in dictionary.features}
            protocol_v2.read_outputs(request, ("probability",))
            columns, rows = protocol_v2.read_columns(request, by_name, entity=dictionary.entity)
            columns = {name: getattr(v, "tolist", lambda v=v: v)() for name, v in columns.items()}
            keys = find_keys(columns, dictionary.entity)
        else:
            request = parse_body(protocol_v1.DECODER, text)
            keys = find_keys_of_instances(request.instances, dictionary.entity)
            if keys is None:
                names = tuple(column.name for column in dictionary.features)
                columns, rows = protocol_v1.read_columns(request, names)
        if keys is None:
            ContractCheck(dictionary).check(columns, rows)
        else:
            read_keys(keys, dictionary.entity)
    except (RequestError, ContractViolationError):
        return False
    return True


def has_code_of_a_spreadsheet(dictionary, rows):
    """Whether a text stands for a code without being it, as "3.0" does, which is read and not documented."""
    for column in dictionary.features:
        for value in (row.get(column.name) for row in rows):
            if column.type is ColumnType.CATEGORY and isinstance(value, str):
                try:
                    float(value)
                except ValueError:
                    continue
                if value not in column.categories:
                    return True
    return False


def assert_alike(dictionary, body):
    assert is_documented(dictionary, body) == is_taken(dictionary, body), body


@settings(max_examples=80, deadline=None)
@given(requests(), st.booleans())
def test_an_instance_is_documented_where_it_is_taken(request, is_ordered):
    dictionary, _, rows = request
    if has_code_of_a_spreadsheet(dictionary, rows):
        return

    assert_alike(dictionary, {"instances": [list(row.values()) for row in rows] if is_ordered else rows})


@settings(max_examples=120, deadline=None)
@given(requests(), st.data())
def test_a_tensor_is_documented_where_it_is_taken(request, data):
    dictionary, _, rows = request
    datatypes = st.sampled_from(DATATYPES)
    datatype_of = data.draw(st.sampled_from([lambda c: OWN_DATATYPE[c.type], lambda _: data.draw(datatypes)]))
    inputs = data.draw(st.permutations(tensors(dictionary, rows, datatype_of)))
    if has_code_of_a_spreadsheet(dictionary, rows):
        return
    tensor = data.draw(st.sampled_from(inputs))
    match data.draw(st.sampled_from(["keep"] * 8 + ["reshape", "cut", "drop", "repeat"])):
        case "reshape" if not any(isinstance(value, list) for value in tensor["data"]):
            tensor["shape"] = data.draw(st.sampled_from([[len(rows), 1], [], [-1], [1, 1, 1]]))
        case "cut":
            del tensor[data.draw(st.sampled_from(sorted(tensor)))]
        case "drop":
            inputs.remove(tensor)
        case "repeat":
            inputs.append(tensor)

    assert_alike(dictionary, {"inputs": inputs})


@settings(max_examples=80, deadline=None)
@given(dictionaries(max_features=3), st.sampled_from(DATATYPES), st.data())
def test_a_matrix_is_documented_where_it_is_taken(dictionary, datatype, data):
    row = [data.draw(any_value(column)) for column in dictionary.features]
    if data.draw(st.booleans()):
        row.append(0)
    tensor = {"name": "rows", "shape": [1, len(row)], "datatype": datatype, "data": [row]}
    if has_code_of_a_spreadsheet(
        dictionary, [dict(zip((c.name for c in dictionary.features), row, strict=False))]
    ):
        return

    assert_alike(dictionary, {"inputs": [tensor]})


@pytest.mark.parametrize("key", [12, 12.0, 12.5, -1, 2**53, True, None, "12", [12]])
def test_a_key_is_documented_where_it_is_taken(key):
    assert_alike(DICTIONARY, {"instances": [{"patient_id": key}]})
    for datatype in DATATYPES:
        tensor = {"name": "patient_id", "shape": [1], "datatype": datatype, "data": [key]}
        assert_alike(DICTIONARY, {"inputs": [tensor]})


@pytest.mark.parametrize(
    "rest",
    [
        {"outputs": [{"name": "probability"}]},
        {"outputs": [{"name": "probability", "parameters": {"binary_data": True}}]},
        {"outputs": [{"name": "probability", "parameters": {"binary_data": "true"}}]},
        {"outputs": [{"name": "another"}]},
        {"outputs": [], "parameters": {"binary_data_output": False, "mine": 1}},
        {"parameters": {"binary_data_output": 1}},
        {"outputs": None, "parameters": None, "id": None},
        {"id": 7},
    ],
)
def test_what_is_asked_beside_the_tensors_is_documented_where_it_is_taken(rest):
    inputs = tensors(DICTIONARY, [ROW, SPARSE_ROW], lambda column: OWN_DATATYPE[column.type])

    assert_alike(DICTIONARY, {"inputs": inputs, **rest})


@settings(max_examples=60, deadline=None)
@given(dictionaries())
def test_the_example_is_right(dictionary):
    instance = {column.name: example_value(column) for column in dictionary.features}

    assert is_taken(dictionary, {"instances": [instance]})
    assert is_documented(dictionary, {"instances": [instance]})


def test_the_schemas_are_schemas_and_show_no_more_than_the_dictionary():
    schemas = validator(DICTIONARY, "Error").schema["components"]["schemas"]

    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    assert schemas["InstanceByColumn"] == {
        "type": "object",
        "properties": {
            "age": {"description": "Age. Unit: years.", "type": "integer", "minimum": 18, "maximum": 110},
            "oldpeak": {
                "description": "ST depression. May be missing (mean).",
                "type": ["number", "null"],
                "minimum": -3.4028234663852886e38,
                "maximum": 3.4028234663852886e38,
            },
            "exang": {
                "description": "Angina. May be missing (most_frequent).",
                "type": ["boolean", "integer", "null"],
                "minimum": 0,
                "maximum": 1,
            },
            "thal": {
                "description": "Thallium test. May be missing (new_category).",
                "enum": ["3", "6", "7", 3, 6, 7, None],
            },
            "income": {"description": "Pay.", "type": "number", "minimum": 0, "maximum": 1_000_000},
        },
        "required": ["age", "income"],
        "additionalProperties": False,
    }
