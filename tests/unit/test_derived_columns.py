"""A derived column is the same where rows are ingested, learned from and served."""

from datetime import datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from request_strategies import transforms
from strategies import dictionaries_with_derived, instances

from components.ingest_data.columns import ARROW_TYPES, ReadColumn
from components.ingest_data.rows import derive
from mulgil.contract import ColumnType, DataDictionary
from mulgil.contract.values import read_json
from mulgil.preprocessing import FittedColumn, FittedTransform, TransformExecutor
from mulgil.serving.column_encoder import ColumnEncoder
from mulgil.serving.contract_check import ContractCheck, ContractViolationError
from mulgil.serving.row_encoder import RowEncoder
from mulgil.serving.typed_values import InstanceReader

KEYS = [
    {"name": "who", "role": "entity", "type": "integer", "description": "Who."},
    {"name": "at", "role": "event_timestamp", "type": "timestamp", "description": "When."},
    {"name": "ill", "role": "target", "type": "boolean", "description": "Whether."},
]
INPUTS = [
    {"name": "debt", "type": "float", "missing": "mean", "description": "Owed."},
    {"name": "income", "type": "float", "missing": "mean", "description": "Earned."},
    {"name": "sex", "type": "category", "categories": ["f", "m"], "description": "Sex."},
]


def dictionary(**made):
    return DataDictionary.model_validate(
        {"columns": [*KEYS, *INPUTS, {"name": "made", "description": "Made.", **made}]}
    )


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_every_way_to_the_model_derives_the_same(data):
    dictionary = data.draw(dictionaries_with_derived())
    transform = data.draw(transforms(dictionary))
    rows = data.draw(st.lists(instances(dictionary), min_size=1, max_size=4))
    columns = {column.name: [as_sent(row[column.name]) for row in rows] for column in dictionary.inputs}
    executor = TransformExecutor(transform)
    try:
        checked = ContractCheck(dictionary).check(columns, len(rows))
    except ContractViolationError:
        assert encode_rows(dictionary, transform, columns, len(rows)) is None
        assert encode_columns(dictionary, transform, columns, len(rows)) is None
        return
    # A scale of another size than the value's may give what float32 does not hold.
    with np.errstate(over="ignore", invalid="ignore"):
        expected = executor.apply(checked)
        encoded = encode_rows(dictionary, transform, columns, len(rows))
        whole = encode_columns(dictionary, transform, columns, len(rows))
    np.testing.assert_allclose(encoded, expected, rtol=1e-6, atol=0)
    np.testing.assert_allclose(whole, expected, rtol=1e-6, atol=0)
    derived = executor.derive(checked)
    for column in dictionary.features:
        if column.is_derived_feature:
            ingested = derive_ingested(dictionary, column, columns)
            if column.type is ColumnType.CATEGORY:
                assert [value or None for value in derived[column.name]] == ingested
            else:
                numbers = [np.nan if value is None else value for value in ingested]
                np.testing.assert_allclose(derived[column.name], np.float32(numbers), rtol=1e-6)


def as_sent(value):
    return value.isoformat() if isinstance(value, datetime) else value


def derive_ingested(dictionary, column, columns):
    cells = {one.name: [read_json(one, value) for value in columns[one.name]] for one in dictionary.inputs}
    read = {
        one.name: ReadColumn(pa.array(cells[one.name], ARROW_TYPES[one.type]), {})
        for one in dictionary.inputs
    }
    return derive(column, column.expression, read, len(next(iter(columns.values())))).values.to_pylist()


def encode_rows(dictionary, transform, columns, rows):
    instances = InstanceReader(dictionary.inputs).read(columns, rows)
    assert instances is not None
    try:
        return RowEncoder(transform, dictionary.features, dictionary.inputs).encode(instances).copy()
    except KeyError:
        return None


def encode_columns(dictionary, transform, columns, rows):
    arrays = {
        column.name: columns[column.name]
        if column.type in (ColumnType.CATEGORY, ColumnType.TIMESTAMP)
        else np.array([np.nan if value is None else value for value in columns[column.name]], np.float64)
        for column in dictionary.inputs
    }
    return ColumnEncoder(transform, dictionary.features, dictionary.inputs).encode(arrays, rows)


@pytest.mark.parametrize(
    ("derived", "codes"),
    [
        ("bucket(debt, 0, 2.5)", ["under 0", "0 to 2.5", "2.5 or more"]),
        ("cross(sex, bucket(debt, 1e6))", ["f & under 1e+06", "f & 1e+06 or more", "m & under 1e+06",
                                           "m & 1e+06 or more"]),
        ("sex", ["f", "m"]),
    ],
)  # fmt: skip
def test_a_derived_category_has_the_codes_that_its_expression_can_give(derived, codes):
    made = dictionary(type="category", derived=derived)

    assert list(made.features[-1].categories) == codes
    # As a bundle has it: with the codes written down.
    assert DataDictionary.model_validate_json(made.model_dump_json()) == made


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"type": "float", "derived": "debt / salary"}, r"received salary \(no such column\)"),
        ({"type": "float", "derived": "debt / ill"}, r"received ill \(role=target\)"),
        ({"type": "float", "derived": "made + 1"}, r"received made \(derived, too\)"),
        ({"type": "float", "derived": "1 + 1"}, "reads a column"),
        ({"type": "float", "derived": "debt + sex"}, "the operator takes numbers"),
        ({"type": "float", "derived": "sex"}, "it gives text; received type=float"),
        ({"type": "boolean", "derived": "debt"}, "it gives a number; received type=boolean"),
        ({"type": "category", "derived": "debt"}, "it gives a number; received type=category"),
        ({"type": "integer", "derived": "debt"}, "one of boolean, category, float; received type=integer"),
        ({"type": "category", "derived": "cross(sex, debt)"}, "bucket makes one of a number"),
        ({"type": "category", "derived": "bucket(debt, 3, 2)"}, "from the least to the greatest"),
        ({"type": "category", "derived": "bucket(debt)"}, "bounds from the least"),
        ({"type": "category", "derived": "cross(sex)"}, "cross is written as"),
        ({"type": "float", "derived": "log(debt, 2)"}, "log is written as"),
        (
            {"type": "category", "derived": "sex", "categories": ["f"]},
            "it gives f, m; leave `categories` out",
        ),
        (
            {"type": "category", "derived": "sex", "missing": "constant", "missing_constant": "x"},
            "one of the",
        ),
        ({"type": "float", "derived": "debt", "range": [0, 1], "out_of_range": "clip"}, "does not carry"),
        ({"type": "category", "derived": "cross(" + ", ".join(["sex"] * 12) + ")"}, "at most 1000 codes"),
        ({"type": "float", "derived": "debt", "role": "ignore"}, "a target or a feature"),
        ({"type": "float", "derived": "debt * 1e39"}, "to 3.4e38 in size"),
    ],
)
def test_a_wrong_derived_column_is_refused_with_what_is_wrong(changes, told):
    with pytest.raises(ValueError, match=told):
        dictionary(**changes)


def test_what_is_derived_of_a_sensitive_column_says_so():
    columns = [*KEYS, {**INPUTS[0], "sensitive": True}, INPUTS[1]]
    made = {"name": "made", "type": "float", "derived": "debt / income", "description": "Made."}

    with pytest.raises(ValueError, match="sensitive; received it of debt"):
        DataDictionary.model_validate({"columns": [*columns, made]})


def test_a_request_of_which_a_required_column_cannot_be_derived_is_refused_by_its_name():
    made = dictionary(type="float", derived="debt / income")
    rows = {"debt": [1.0, 1.0, None], "income": [2.0, 0.0, 1.0], "sex": ["f"] * 3}

    with pytest.raises(ContractViolationError) as refusal:
        ContractCheck(made).check(rows, 3)

    assert [(one.instance, one.column) for one in refusal.value.violations] == [(1, "made"), (2, "made")]
    assert "debt / income can be computed" in refusal.value.violations[0].expected


def test_a_comparison_falls_as_the_models_graph_has_its_numbers():
    # As float32, which the graph gets, 0.1 is more than 0.1.
    made = dictionary(type="boolean", derived="debt > 0.1", missing="most_frequent")
    columns = [FittedColumn(name=n, is_categorical=False, fill=0.0) for n in ("debt", "income")]
    sex = FittedColumn(name="sex", is_categorical=True, fill=None, codes=("f", "m"))
    truth = FittedColumn(name="made", is_categorical=False, fill=0.0, derived="debt > 0.1")
    transform = FittedTransform(columns=(*columns, sex, truth))
    raw = {"debt": [0.1], "income": [1.0], "sex": ["f"]}

    assert derive_ingested(made, made.features[-1], raw) == [True]
    assert encode_rows(made, transform, raw, 1)[0, -1] == 1.0
    assert TransformExecutor(transform).apply(raw)[0, -1] == 1.0
