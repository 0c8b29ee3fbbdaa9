"""What the door lets in, and how it says no."""

import math

import pytest
from served_bundles import DICTIONARY, ROW

from mulgil.serving.contract_check import MOST_VIOLATIONS, ContractCheck, ContractViolationError

CHECK = ContractCheck(DICTIONARY)


def check(**changes):
    return CHECK.check({name: [value] for name, value in {**ROW, **changes}.items()}, 1)


@pytest.mark.parametrize(
    ("column", "received", "expected"),
    [
        ("age", 63.0, 63),
        ("oldpeak", 2, 2.0),
        ("oldpeak", None, None),
        ("oldpeak", math.nan, None),
        ("exang", 1, True),
        ("exang", None, None),
        ("thal", 6, "6"),
        ("thal", 6.0, "6"),
        ("thal", "6.0", "6"),
        ("thal", None, None),
    ],
)
def test_a_valid_value_becomes_what_preprocessing_takes(column, received, expected):
    (value,) = check(**{column: received})[column]

    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("column", "received", "expected", "shown"),
    [
        ("age", 17, "18 to 110 years", "17"),
        ("age", 63.5, "a whole number (integer)", "63.5"),
        ("age", "63", "a whole number (integer)", "'63'"),
        ("age", True, "a whole number (integer)", "True"),
        ("age", 10**400, "a whole number (integer)", "1000"),
        ("age", None, "a value (integer, 18 to 110 years)", "nothing"),
        ("oldpeak", "2.3", "a finite number (float)", "'2.3'"),
        ("oldpeak", [2.3], "a finite number (float)", "[2.3]"),
        ("oldpeak", 10**400, "a finite number (float)", "1000"),
        ("oldpeak", 1e300, "a number that float32 holds", "1e+300"),
        ("exang", 2, "true or false", "2"),
        ("exang", "yes", "true or false", "'yes'"),
        ("thal", 9, "one of 3, 6, 7", "'9'"),
        ("thal", {"code": 3}, "a category's code", "{'code': 3}"),
        ("income", -1, "0 to 1", "(hidden)"),
        ("income", "a secret", "a finite number (float)", "(hidden)"),
    ],
)
def test_an_invalid_value_is_refused_by_name(column, received, expected, shown):
    with pytest.raises(ContractViolationError) as refusal:
        check(**{column: received})

    (violation,) = refusal.value.violations
    assert (violation.instance, violation.column) == (0, column)
    assert violation.expected.startswith(expected)
    assert violation.received.startswith(shown)


def test_what_a_sensitive_column_received_is_nowhere_in_the_message():
    with pytest.raises(ContractViolationError) as refusal:
        check(income="a secret")

    assert "secret" not in str(refusal.value)


def test_an_absent_column_is_missing_in_every_row():
    columns = {name: [value, value] for name, value in ROW.items() if name != "oldpeak"}

    assert CHECK.check(columns, 2)["oldpeak"] == [None, None]


def test_an_absent_column_that_needs_a_value_is_refused_in_every_row():
    columns = {name: [value, value] for name, value in ROW.items() if name != "age"}

    with pytest.raises(ContractViolationError) as refusal:
        CHECK.check(columns, 2)

    assert [(v.instance, v.column) for v in refusal.value.violations] == [(0, "age"), (1, "age")]


def test_an_unknown_column_is_refused_by_name():
    with pytest.raises(ContractViolationError, match=r"column ago: expected only .*\(age, oldpeak"):
        check(ago=63)


def test_every_violation_is_told_at_once():
    with pytest.raises(ContractViolationError) as refusal:
        check(age=3, exang="x", thal=1)

    assert [v.column for v in refusal.value.violations] == ["age", "exang", "thal"]


def test_a_flood_of_violations_is_cut():
    columns = {name: [value] * 1000 for name, value in ROW.items()}

    with pytest.raises(ContractViolationError) as refusal:
        CHECK.check({**columns, "age": [3] * 1000}, 1000)

    assert len(refusal.value.violations) == MOST_VIOLATIONS
