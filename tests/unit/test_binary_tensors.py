"""Tensors as bytes and as matrices: read whole, or refused; encoded as the contract check would."""

import json
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from request_strategies import any_value, reference, transforms
from served_bundles import DICTIONARY, ROW, TRANSFORM
from strategies import dictionaries, instances

from mulgil.contract import ColumnType
from mulgil.serving import protocol_v2
from mulgil.serving.binary_tensors import read_elements, split_body
from mulgil.serving.column_encoder import ColumnEncoder
from mulgil.serving.contract_check import ContractViolationError
from mulgil.serving.messages import RequestError, parse_body

COLUMNS = {column.name: column for column in DICTIONARY.features}
MATRIX = [[63, 2.3, 1, 6, 41_000.0], [41, None, None, None, 12_000.0]]


def texts(*values):
    return b"".join(struct.pack("<I", len(value)) + value for value in values)


def read(request, content=b""):
    body = parse_body(protocol_v2.DECODER, json.dumps(request).encode())
    return protocol_v2.read_columns(body, COLUMNS, memoryview(content))


def binary(name, datatype, shape, size):
    return {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": size}}


def encode(columns, rows):
    return ColumnEncoder(TRANSFORM, DICTIONARY.features, DICTIONARY.inputs).encode(columns, rows)


def expected():
    columns = {name: [row[place] for row in MATRIX] for place, name in enumerate(ROW)}
    return reference(DICTIONARY, TRANSFORM, columns, 2)


@pytest.mark.parametrize("data", [MATRIX, [value for row in MATRIX for value in row]], ids=["nested", "flat"])
def test_a_matrix_has_a_column_of_the_dictionary_in_each_of_its_own(data):
    columns, rows = read({"inputs": [{"name": "input-0", "shape": [2, 5], "datatype": "FP64", "data": data}]})

    assert (list(columns), rows) == (list(ROW), 2)
    np.testing.assert_array_equal(encode(columns, rows), expected())


@pytest.mark.parametrize("datatype", ["<f8", "<f4"])
def test_a_matrix_may_be_bytes_whose_nan_is_a_missing_value(datatype):
    content = np.array(MATRIX, np.float64).astype(datatype).tobytes()
    name = {"<f8": "FP64", "<f4": "FP32"}[datatype]

    columns, rows = read({"inputs": [binary("input-0", name, [2, 5], len(content))]}, content)

    np.testing.assert_allclose(encode(columns, rows), expected(), rtol=1e-6)


def test_columns_may_be_bytes_and_json_side_by_side():
    age, thal = np.array([63, 41], "<i8").tobytes(), texts(b"6", b"")
    request = {
        "inputs": [
            binary("age", "INT64", [2], len(age)),
            {"name": "oldpeak", "datatype": "FP64", "shape": [2], "data": [2.3, None]},
            binary("exang", "BOOL", [2, 1], 2),
            binary("thal", "BYTES", [2], len(thal)),
        ]
    }

    columns, rows = read(request, age + b"\x01\x00" + thal)

    assert rows == 2
    assert {name: list(values) for name, values in columns.items()} == {
        "age": [63, 41],
        "oldpeak": [2.3, None],
        "exang": [True, False],
        "thal": ["6", None],
    }


@pytest.mark.parametrize(
    ("inputs", "content", "message"),
    [
        ([binary("age", "INT64", [1], 8)], b"1234567", "expected `binary_data_size` to be of bytes"),
        ([binary("age", "INT64", [1], -1)], b"12345678", "expected `binary_data_size`"),
        ([binary("age", "INT64", [1], "8")], b"12345678", "expected `binary_data_size`"),
        ([binary("age", "INT64", [1], True)], b"1", "expected `binary_data_size`"),
        ([{**binary("age", "INT64", [1], 8), "data": [1]}], b"12345678", "no `data` beside it"),
        ([binary("age", "INT64", [1], 8)], b"123456789", "1 bytes behind the JSON belong to no tensor"),
        ([binary("age", "INT64", [1], 4)], b"1234", "input age: expected 8 bytes, 1 values of INT64"),
        ([binary("age", "INT64", [10**15], 8)], b"12345678", "received 8"),
        ([binary("thal", "BYTES", [1], 2)], b"12", "expected 1 texts, each after its length"),
        ([binary("thal", "BYTES", [1], 5)], texts(b"\xff"), "expected texts in UTF-8"),
        ([binary("thal", "BYTES", [1], 4)], struct.pack("<I", 2**32 - 1), "expected 1 texts"),
        ([binary("thal", "BYTES", [1], 10)], texts(b"6", b"7"), "expected 1 texts"),
        ([binary("thal", "BYTES", [2], 5)], texts(b"6"), "expected 2 texts"),
    ],
)
def test_bytes_that_do_not_fit_are_refused(inputs, content, message):
    with pytest.raises(RequestError, match=message) as refusal:
        read({"inputs": inputs}, content)

    assert refusal.value.status == 400


@pytest.mark.parametrize("length", [b"x", b"-1", b"6", b"9" * 40, b"", b"\xb2"])
def test_a_length_that_is_not_one_of_the_body_is_refused(length):
    with pytest.raises(RequestError, match="expected at most 5"):
        split_body({b"inference-header-content-length": length}, b"12345")


def test_text_is_read_whole():
    assert read_elements("thal", "BYTES", 3, memoryview(texts("물길".encode(), b"", b"a"))) == [
        "물길",
        None,
        "a",
    ]


NUMPY_TYPES = {ColumnType.FLOAT: "f8", ColumnType.INTEGER: "i8", ColumnType.BOOLEAN: "?"}


def as_arrays(dictionary, rows):
    """Columns as numpy has them: codes as text, numbers in their type, or float64 where one is missing."""
    arrays = {}
    for column in dictionary.features:
        values = [row[column.name] for row in rows]
        if column.type is ColumnType.CATEGORY:
            arrays[column.name] = values
        else:
            dtype = "f8" if None in values else NUMPY_TYPES[column.type]
            arrays[column.name] = np.array(values, dtype)
    return arrays


@settings(max_examples=150, deadline=None)
@given(dictionaries(), st.data())
def test_columns_are_encoded_as_the_contract_check_would(dictionary, data):
    transform = data.draw(transforms(dictionary))
    rows = data.draw(st.lists(instances(dictionary), min_size=1, max_size=4))
    columns = {column.name: [row[column.name] for row in rows] for column in dictionary.features}

    numbers = ColumnEncoder(transform, dictionary.features, dictionary.inputs).encode(
        as_arrays(dictionary, rows), len(rows)
    )

    assert numbers is not None
    np.testing.assert_array_equal(numbers, reference(dictionary, transform, columns, len(rows)))


@settings(max_examples=250, deadline=None)
@given(dictionaries(max_features=3), st.data())
def test_columns_that_the_contract_check_refuses_are_left_to_it(dictionary, data):
    transform = data.draw(transforms(dictionary))
    rows = data.draw(st.lists(instances(dictionary), min_size=1, max_size=3))
    column = data.draw(st.sampled_from(dictionary.features))
    kind = (str,) if column.type is ColumnType.CATEGORY else (int, float)
    odd = data.draw(any_value(column).filter(lambda value: value is None or type(value) in kind))
    data.draw(st.sampled_from(rows))[column.name] = odd
    columns = {column.name: [row[column.name] for row in rows] for column in dictionary.features}
    arrays = {
        name: values if any(isinstance(value, str) for value in values) else np.array(values, np.float64)
        for name, values in columns.items()
    }

    with np.errstate(over="ignore", invalid="ignore"):
        numbers = ColumnEncoder(transform, dictionary.features, dictionary.inputs).encode(arrays, len(rows))
        if numbers is None:
            return
        try:
            np.testing.assert_array_equal(numbers, reference(dictionary, transform, columns, len(rows)))
        except ContractViolationError as exc:
            raise AssertionError(f"{odd!r} is to be refused: {exc}") from exc
