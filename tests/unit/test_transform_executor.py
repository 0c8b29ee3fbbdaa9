import numpy as np
import pytest

from mulgil.preprocessing import FittedColumn, FittedTransform, TransformExecutor

NUMBER = FittedColumn(name="n", is_categorical=False, fill=4.0, offset=2.0, scale=0.5)
STRICT = FittedColumn(name="s", is_categorical=False, fill=None, offset=1.0)
CODE = FittedColumn(name="c", is_categorical=True, fill="b", codes=("a", "b"))
STRICT_CODE = FittedColumn(name="d", is_categorical=True, fill=None, codes=("a",))


def test_columns_are_joined_in_their_order():
    executor = TransformExecutor(FittedTransform(columns=(CODE, NUMBER, STRICT_CODE, STRICT)))

    numbers = executor.apply({"s": [True, 3], "n": [6, 2.0], "d": ["a", "x"], "c": ["a", "b"]})

    assert numbers.dtype == np.float32
    assert numbers.tolist() == [[1, 0, 2, 1, 0], [0, 1, 0, 0, 2]]


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_a_missing_number_is_filled(missing):
    assert TransformExecutor(FittedTransform(columns=(NUMBER,))).apply({"n": [missing]}).tolist() == [[1]]


@pytest.mark.parametrize("missing", [None, ""])
def test_a_missing_code_is_filled(missing):
    assert TransformExecutor(FittedTransform(columns=(CODE,))).apply({"c": [missing]}).tolist() == [[0, 1]]


def test_a_number_that_must_not_be_missing_stays_visible():
    assert np.isnan(TransformExecutor(FittedTransform(columns=(STRICT,))).apply({"s": [None]})).all()


def test_codes_alone_need_no_numbers():
    executor = TransformExecutor(FittedTransform(columns=(STRICT_CODE,)))

    assert executor.apply({"d": [None, "a"]}).tolist() == [[0], [1]]


def test_a_column_that_is_not_there_is_named():
    with pytest.raises(KeyError, match="'c'"):
        TransformExecutor(FittedTransform(columns=(NUMBER, CODE))).apply({"n": [1.0]})
