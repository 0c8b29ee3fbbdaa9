"""The quick way through the door lets nothing through that the contract check refuses, or reads otherwise."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from request_strategies import DATATYPES, OWN_DATATYPE, reference, requests, tensors, transforms
from served_bundles import DICTIONARY, ROW
from strategies import dictionaries, instances

from mulgil.artifacts import FeatureServiceReference
from mulgil.contract import ColumnRole
from mulgil.online_rows import FORM, RowForm
from mulgil.serving import protocol_v1, protocol_v2
from mulgil.serving.contract_check import ContractViolationError
from mulgil.serving.messages import RequestError, parse_body
from mulgil.serving.online_store import FEAST_TYPES, OnlineStore
from mulgil.serving.row_encoder import RowEncoder
from mulgil.serving.typed_values import InstanceReader


def encode(dictionary, transform, typed):
    try:
        return RowEncoder(transform, dictionary.features, dictionary.inputs).encode(typed)
    except (KeyError, OverflowError):
        return None


def v1_reference(dictionary, transform, body):
    names = tuple(column.name for column in dictionary.features)
    columns, rows = protocol_v1.read_columns(parse_body(protocol_v1.DECODER, body), names)
    return reference(dictionary, transform, columns, rows)


def v1_typed(dictionary, transform, body):
    typed = protocol_v1.TypedReader(dictionary.features).read(body)
    return None if typed is None else encode(dictionary, transform, typed)


def v2_reference(dictionary, transform, body):
    columns = {column.name: column for column in dictionary.features}
    request = parse_body(protocol_v2.DECODER, body)
    protocol_v2.read_outputs(request, ("y",))
    return reference(dictionary, transform, *protocol_v2.read_columns(request, columns))


def v2_typed(dictionary, transform, body):
    typed = protocol_v2.TypedReader(dictionary.features, ("y",)).read(body)
    return None if typed is None else encode(dictionary, transform, typed.instances)


def assert_never_more(quick, slow, *request):
    """Hold that the quick way lets nothing through that the slow one refuses or reads in another way."""
    # Beyond float32 both give infinity, which is no prediction.
    with np.errstate(over="ignore", invalid="ignore"):
        numbers = quick(*request)
        if numbers is None:
            return
        try:
            expected = slow(*request)
        except (RequestError, ContractViolationError) as exc:
            raise AssertionError(f"{request[-1]!r} is to be refused: {exc}") from exc
    np.testing.assert_array_equal(numbers, expected)


@settings(max_examples=250, deadline=None)
@given(requests(), st.data())
def test_v1_lets_through_what_the_contract_check_does(request, data):
    dictionary, transform, rows = request
    if data.draw(st.booleans()):
        rows = [list(row.values()) for row in rows]
    body = json.dumps({"instances": rows}).encode()

    assert_never_more(v1_typed, v1_reference, dictionary, transform, body)


@settings(max_examples=150, deadline=None)
@given(requests())
def test_what_the_online_store_has_is_let_through_as_by_the_contract_check(request):
    dictionary, transform, rows = request
    reference_of = FeatureServiceReference(
        name="s", project="p", store_version="1", online_store="o", row_form=FORM, entity="e", features=()
    )
    form = RowForm([(column.name, FEAST_TYPES[column.type]) for column in dictionary.features])
    columns = {c.name: [row.get(c.name) for row in rows] for c in dictionary.features}
    try:
        stored = [form.pack(0, None, values) for values in zip(*columns.values(), strict=True)]
    except (OverflowError, TypeError):
        return
    typed = OnlineStore(reference_of, dictionary).decode(stored)
    if not typed:
        return

    assert_never_more(
        lambda *_: encode(dictionary, transform, typed),
        lambda *_: reference(dictionary, transform, columns, len(rows)),
        rows,
    )


@settings(max_examples=150, deadline=None)
@given(requests(), st.data())
def test_plain_values_are_let_through_as_by_the_contract_check(request, data):
    dictionary, transform, rows = request
    columns = {c.name: [row.get(c.name) for row in rows] for c in dictionary.features}
    if rows and data.draw(st.booleans()):
        data.draw(st.sampled_from([*columns.values()]))[0] = float("nan")
    if not (typed := InstanceReader(dictionary.features).read(columns, len(rows))):
        return

    assert_never_more(
        lambda *_: encode(dictionary, transform, typed),
        lambda *_: reference(dictionary, transform, columns, len(rows)),
        rows,
    )


@settings(max_examples=250, deadline=None)
@given(requests(), st.data())
def test_v2_lets_through_what_the_contract_check_does(request, data):
    dictionary, transform, rows = request
    datatypes = st.sampled_from(DATATYPES)
    datatype_of = data.draw(st.sampled_from([lambda c: OWN_DATATYPE[c.type], lambda _: data.draw(datatypes)]))
    inputs = data.draw(st.permutations(tensors(dictionary, rows, datatype_of)))
    tensor = data.draw(st.sampled_from(inputs))
    match data.draw(st.sampled_from(["keep"] * 8 + ["reshape", "cut", "drop", "repeat"])):
        case "reshape":
            tensor["shape"] = data.draw(
                st.sampled_from([[len(rows), 1], [len(rows) + 1], [], [-1], [1, 1, 1]])
            )
        case "cut":
            del tensor[data.draw(st.sampled_from(sorted(tensor)))]
        case "drop":
            inputs.remove(tensor)
        case "repeat":
            inputs.append(tensor)
    body = json.dumps({"inputs": inputs}).encode()

    assert_never_more(v2_typed, v2_reference, dictionary, transform, body)


@settings(max_examples=150, deadline=None)
@given(dictionaries(), st.data())
def test_what_clients_mostly_send_takes_the_quick_way(dictionary, data):
    transform = data.draw(transforms(dictionary))
    rows = data.draw(st.lists(instances(dictionary), min_size=1, max_size=3))
    lists = [[row[column.name] for column in dictionary.features] for row in rows]
    inputs = tensors(dictionary, rows, lambda column: OWN_DATATYPE[column.type])

    columns = {column.name: [row[column.name] for row in rows] for column in dictionary.features}
    expected = reference(dictionary, transform, columns, len(rows))
    plain = InstanceReader(dictionary.features).read(columns, len(rows))
    np.testing.assert_array_equal(encode(dictionary, transform, plain), expected)
    for quick, body in (
        (v1_typed, {"instances": rows}),
        (v1_typed, {"instances": lists}),
        (v2_typed, {"inputs": inputs}),
        (v2_typed, {"inputs": inputs[::-1], "id": "a", "outputs": [{"name": "y"}]}),
    ):
        numbers = quick(dictionary, transform, json.dumps(body).encode())
        assert numbers is not None, body
        np.testing.assert_array_equal(numbers, expected)


AGE = DICTIONARY.model_copy(
    update={
        "columns": tuple(c for c in DICTIONARY.columns if c.name == "age" or c.role is not ColumnRole.FEATURE)
    }
)


@pytest.mark.parametrize("dictionary", [AGE, DICTIONARY], ids=["one column", "several columns"])
@pytest.mark.parametrize(
    "change",
    [
        lambda tensor: tensor.pop("name"),
        lambda tensor: tensor.update(name="another"),
        lambda tensor: tensor.update(shape=[2]),
        lambda tensor: tensor.update(shape=[]),
        lambda tensor: tensor.update(data=[63, 64]),
        lambda tensor: tensor.update(data=[]),
        lambda tensor: tensor.update(data=[63.5]),
        lambda tensor: tensor.update(data=[None]),
        lambda tensor: tensor.update(datatype="FP16"),
        lambda tensor: tensor.update(parameters=3),
    ],
)
def test_a_tensor_that_is_not_right_never_takes_the_quick_way(dictionary, change):
    inputs = tensors(dictionary, [ROW], lambda column: OWN_DATATYPE[column.type])
    reader = protocol_v2.TypedReader(dictionary.features, ("y",))
    assert reader.read(json.dumps({"inputs": inputs}).encode())

    assert reader.read(json.dumps({"inputs": [*inputs, inputs[0]]}).encode()) is None
    change(inputs[0])
    assert reader.read(json.dumps({"inputs": inputs}).encode()) is None
