import numpy as np
import pytest

from components.train_model.fit_transform import fit_transform
from mulgil.contract import MissingPolicy
from mulgil.contract.specifications import PreprocessingColumn, PreprocessingSpecification
from mulgil.errors import InputError
from mulgil.preprocessing import MISSING_CODE, TransformExecutor

NAN = float("nan")


def fit_number(values, missing, constant=None):
    column = PreprocessingColumn("x", False, MissingPolicy(missing), constant, ())
    raw = {"x": np.array(values, np.float32)}
    return fit_transform(PreprocessingSpecification((column,)), raw)


def fit_code(values, missing, constant=None, categories=("a", "b", "c")):
    column = PreprocessingColumn("x", True, MissingPolicy(missing), constant, categories)
    raw = {"x": np.array(values, object)}
    return fit_transform(PreprocessingSpecification((column,)), raw)


@pytest.mark.parametrize(
    ("missing", "constant", "fill"),
    [("mean", None, 3.25), ("median", None, 2.0), ("most_frequent", None, 2.0), ("constant", 5.0, 5.0)],
)
def test_a_missing_number_is_filled_as_its_policy_says(missing, constant, fill):
    (column,) = fit_number([2, 2, 1, 8, NAN], missing, constant).columns

    assert column.fill == fill


def test_a_number_that_must_not_be_missing_has_no_filling():
    assert fit_number([1, 2], "reject").columns[0].fill is None


@pytest.mark.parametrize("missing", ["mean", "median", "most_frequent", "constant"])
def test_filled_numbers_are_standardised(missing):
    values = [2.0, 2.0, 1.0, 8.0, None, None]

    numbers = TransformExecutor(fit_number([NAN if v is None else v for v in values], missing, 5.0)).apply(
        {"x": values}
    )

    assert numbers.mean() == pytest.approx(0, abs=1e-6)
    assert numbers.std() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("values", [[0.1] * 5, [7.0], [1e-40, 2e-40], [1e9, 1e9 + 1]])
def test_a_column_that_does_not_vary_in_float32_is_centred_and_not_scaled(values):
    (column,) = fit_number(values, "reject").columns

    assert column.scale == 1
    assert np.float32(values[0]) == np.float32(column.offset)


@pytest.mark.parametrize(
    ("missing", "constant", "fill"),
    [("most_frequent", None, "b"), ("constant", "c", "c"), ("new_category", None, MISSING_CODE)],
)
def test_a_missing_code_is_filled_as_its_policy_says(missing, constant, fill):
    (column,) = fit_code(["b", "b", "a", MISSING_CODE], missing, constant).columns

    assert column.fill == fill
    assert fill in column.codes


def test_of_equally_frequent_codes_the_dictionarys_first_fills():
    assert fit_code(["c", "b", "b", "c"], "most_frequent").columns[0].fill == "b"


def test_missing_values_get_a_place_of_their_own():
    transform = fit_code(["a", "b", MISSING_CODE], "new_category")

    assert TransformExecutor(transform).apply({"x": ["a", "b", None]}).tolist() == np.eye(3).tolist()


def test_codes_keep_the_dictionarys_order_and_those_never_seen_have_no_place():
    transform = fit_code(["c", "a", "c"], "reject")

    assert transform.columns[0].codes == ("a", "c")
    assert TransformExecutor(transform).apply({"x": ["b", "zzz"]}).tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize("missing", ["mean", "median", "most_frequent", "reject"])
def test_a_number_that_no_row_has_is_refused_by_name(missing):
    with pytest.raises(InputError, match="x has no value in any row"):
        fit_number([NAN, NAN], missing)


@pytest.mark.parametrize("missing", ["most_frequent", "reject"])
def test_a_code_that_no_row_has_is_refused_by_name(missing):
    with pytest.raises(InputError, match="x has no value in any row"):
        fit_code([MISSING_CODE], missing)


def test_a_number_that_float32_cannot_hold_is_refused_by_name():
    with pytest.raises(InputError, match="x has numbers that float32 cannot hold"):
        fit_number([1.0, float("inf")], "reject")
