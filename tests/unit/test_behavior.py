"""Invariance and directional tests, on a model that is a formula."""

import numpy as np
import pyarrow as pa
import pytest

from components.evaluate_model.behavior import check_behavior, probe_behavior
from mulgil.contract import Column, ColumnRole, ColumnType, DataDictionary, Task
from mulgil.contract.answers import AnswerForm
from mulgil.contract.behavior import BehaviorTest, explain_behaviors
from mulgil.preprocessing.rows import TrainingRows


def column(name, kind, **more):
    return Column(name=name, type=kind, description="Any.", **more)


DICTIONARY = DataDictionary(
    columns=(
        column("key", ColumnType.INTEGER, role=ColumnRole.ENTITY),
        column("at", ColumnType.TIMESTAMP, role=ColumnRole.EVENT_TIMESTAMP),
        column("age", ColumnType.INTEGER, range=(18, 60), missing="median"),
        column("sex", ColumnType.CATEGORY, categories=["f", "m"]),
        column("smokes", ColumnType.BOOLEAN),
        column("ill", ColumnType.BOOLEAN, role=ColumnRole.TARGET),
    )
)
FORM = AnswerForm.of(Task.BINARY_CLASSIFICATION, DICTIONARY)
ROWS = TrainingRows(
    pa.table(
        {
            "age": pa.array([20, 40, 60, None], pa.int64()),
            "sex": ["f", "m", "f", "m"],
            "smokes": [True, False, False, True],
        }
    ),
    np.array([True, False, True, False]),
    left_out=0,
)


def ask(tensors):
    """Age raises it up to 50 and lowers it beyond; sex changes it by 0.1 among smokers."""
    age = np.nan_to_num(tensors["age"].astype(np.float64), nan=30.0)
    sex = np.where(tensors["sex"] == "m", 0.1, 0.0) * tensors["smokes"]
    return 0.5 - np.abs(age - 50) / 100 + sex


def probe(rows=ROWS, dictionary=DICTIONARY, model=ask, **asked):
    test = BehaviorTest(**asked)
    return probe_behavior(test, dictionary, FORM, rows, model(rows.tensors), model)


def test_a_direction_is_asked_of_the_rows_that_can_be_changed():
    finding = probe(column="age", by=15, prediction="rises")

    # A row without an age, and one at the end of the range, cannot.
    assert (finding.rows, finding.broken) == (2, 0)
    assert check_behavior(0, finding).is_passed


def test_a_direction_that_some_rows_go_against_is_found_with_an_example():
    finding = probe(column="age", by=20, prediction="falls")

    check = check_behavior(0, finding)
    assert not check.is_passed
    assert (check.name, check.value) == ("behavior:1:age", 0.5)
    assert "age by +20: prediction falls in 1 of 2 test rows" in check.reason
    [example] = finding.examples
    assert (example.row, example.value, example.changed) == (0, 20.0, 40.0)
    assert (example.said, example.says) == pytest.approx((0.2, 0.4))
    assert finding.greatest == pytest.approx(0.2, abs=1e-4)


def test_a_share_of_the_rows_may_do_otherwise():
    assert check_behavior(0, probe(column="age", by=20, prediction="falls", share=0.5)).is_passed
    assert not check_behavior(0, probe(column="age", by=20, prediction="falls", share=0.51)).is_passed


def test_what_must_stay_is_asked_with_every_other_value():
    finding = probe(column="sex", prediction="stays")

    assert (finding.rows, finding.broken) == (4, 2)
    assert {(one.value, one.changed) for one in finding.examples} == {("f", "m"), ("m", "f")}
    assert check_behavior(0, probe(column="sex", prediction="stays", tolerance=0.1)).is_passed


def test_a_number_is_moved_either_way_where_the_prediction_must_stay():
    finding = probe(column="age", by=10, prediction="stays", tolerance=0.05)

    assert (finding.rows, finding.broken) == (3, 3)


def test_a_yes_is_put_in_place_of_a_no():
    finding = probe(column="smokes", to=True, prediction="rises")

    assert (finding.rows, finding.broken) == (2, 0)


def test_a_prediction_that_is_none_is_not_what_was_asked_for():
    def fail(tensors):
        return np.where(tensors["age"] > 45, np.nan, 0.5)

    assert probe(model=fail, column="age", by=10, prediction="rises").broken == 1


def test_a_gate_that_no_row_can_answer_does_not_pass():
    finding = probe(ROWS.take(np.array([3])), column="age", by=10, prediction="rises")

    check = check_behavior(0, finding)
    assert not check.is_passed
    assert "in no test row could age be changed" in check.reason


def test_a_sensitive_columns_values_are_not_shown():
    secret = DataDictionary(
        columns=tuple(one.model_copy(update={"sensitive": one.name == "sex"}) for one in DICTIONARY.columns)
    )

    finding = probe(dictionary=secret, column="sex", prediction="stays")

    assert all(one.value is None and one.changed is None for one in finding.examples)


@pytest.mark.parametrize(
    ("asked", "answers", "reason"),
    [
        (
            {"column": "height", "by": 1, "prediction": "rises"},
            (),
            "column: a request carries the columns age",
        ),
        ({"column": "ill", "prediction": "stays"}, (), "column: a request carries"),
        ({"column": "age", "prediction": "stays"}, (), "by: age is a number"),
        ({"column": "age", "by": 0.5, "prediction": "rises"}, (), "by: age is changed by a whole number"),
        ({"column": "sex", "by": 1, "prediction": "stays"}, (), "by: sex is no number; write `to`"),
        ({"column": "sex", "prediction": "rises"}, (), "to: the prediction rises where sex becomes what"),
        ({"column": "sex", "to": "x", "prediction": "rises"}, (), "to: sex is one of f, m; received x"),
        ({"column": "smokes", "to": "x", "prediction": "rises"}, (), "to: smokes is one of false, true"),
        ({"column": "age", "by": 1, "prediction": "rises", "of": "a"}, (), "of: it goes with several"),
        ({"column": "age", "by": 1, "prediction": "rises", "of": "c"}, ("a", "b"), "of: it is one of a, b"),
        ({"column": "age", "by": 1, "prediction": "rises"}, ("a", "b"), "of: one of a, b rises"),
    ],
)
def test_a_test_that_is_not_the_dictionarys_says_why(asked, answers, reason):
    [(place, text)] = explain_behaviors([BehaviorTest(**asked)], DICTIONARY, answers)

    assert place == 0
    assert text.startswith(reason)


def test_a_test_of_the_dictionarys_is_taken():
    asked = [
        BehaviorTest(column="smokes", to=True, prediction="rises", of="b"),
        BehaviorTest(column="sex", prediction="stays", tolerance=0.01),
        BehaviorTest(column="age", by=-5, prediction="falls", of="a"),
    ]

    assert explain_behaviors(asked, DICTIONARY, ("a", "b")) == []
