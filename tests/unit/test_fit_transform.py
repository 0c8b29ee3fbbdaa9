import numpy as np
import pytest

from components.train_model.fit_transform import fit_transform
from mulgil.contract import MissingPolicy
from mulgil.contract.dictionary import OutlierPolicy, Scaling
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


def fit_cleaned(values, missing="reject", constant=None, **cleaning):
    column = PreprocessingColumn("x", False, MissingPolicy(missing), constant, (), **cleaning)
    return fit_transform(PreprocessingSpecification((column,)), {"x": np.array(values, np.float32)})


@pytest.mark.parametrize(
    ("scaling", "first", "last"),
    [
        (Scaling.NONE, 0, 8),
        (Scaling.MIN_MAX, 0, 1),
        (Scaling.ROBUST, -1, 1),
        (Scaling.STANDARD, -1.5491933, 1.5491933),
    ],
)
def test_numbers_are_brought_to_a_like_size_as_the_dictionary_says(scaling, first, last):
    values = [0, 1, 2, 3, 4, 5, 6, 7, 8]

    numbers = TransformExecutor(fit_cleaned(values, scaling=scaling)).apply({"x": values})

    assert numbers[[0, -1], 0].tolist() == pytest.approx([first, last])


@pytest.mark.parametrize("scaling", Scaling)
def test_a_scale_is_never_infinite(scaling):
    for values in ([3, 3, 3], [1, 1, 1, 1, 1, 9], [1e-40, 2e-40]):
        assert np.isfinite(TransformExecutor(fit_cleaned(values, scaling=scaling)).apply({"x": values})).all()


def test_outliers_are_clipped_to_tukeys_outer_fences_and_the_others_are_scaled_as_without_them():
    usual = [float(v) for v in range(100)]
    transform = fit_cleaned([*usual, 1e9, -99999], outliers=OutlierPolicy.CLIP)
    (column,) = transform.columns

    lower, upper = np.quantile([*usual, 1e9, -99999], [0.25, 0.75])
    assert (column.low, column.high) == pytest.approx(
        (lower - 3 * (upper - lower), upper + 3 * (upper - lower))
    )
    numbers = TransformExecutor(transform).apply({"x": [1e9, 1e30, column.high, -1e30, 99]})[:, 0]
    assert numbers[0] == numbers[1] == numbers[2] > numbers[4] > numbers[3]
    assert numbers[4] > 1


def test_where_the_quartiles_are_one_only_what_is_beyond_all_training_rows_is_clipped():
    (column,) = fit_cleaned([0] * 95 + [7, 8, 9, 10, -2], outliers=OutlierPolicy.CLIP).columns

    assert (column.low, column.high) == (-2, 10)


def test_a_constant_that_stands_for_missing_is_no_outlier():
    values = [*range(100, 200), NAN]
    transform = fit_cleaned(values, "constant", -999.0, outliers=OutlierPolicy.CLIP)

    far, missing = TransformExecutor(transform).apply({"x": [-1e6, None]})[:, 0]
    assert far == missing


def test_a_filling_is_learned_of_clipped_numbers():
    values = [*range(100), 1e9, NAN]

    assert fit_cleaned(values, "mean", outliers=OutlierPolicy.CLIP).columns[0].fill < 60
