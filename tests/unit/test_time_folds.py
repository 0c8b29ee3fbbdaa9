"""Folds by time: scikit-learn's own, and nothing that is fitted on is of later than what is held out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import TimeSeriesSplit

from components.train_model.time_folds import divide_by_time, split_latest
from mulgil.errors import InputError

MOMENTS = st.lists(st.integers(-5, 30), min_size=2, max_size=60)


@pytest.mark.parametrize(("rows", "folds"), [(30, 5), (31, 4), (8, 2), (16, 3)])
def test_folds_of_different_times_are_those_of_scikit_learn_in_the_order_of_the_times(rows, folds):
    moments = np.random.default_rng(rows).permutation(rows) * 10 - 50
    order = np.argsort(moments)

    found = divide_by_time(folds, moments, None)

    expected = [(order[fitted], order[held]) for fitted, held in TimeSeriesSplit(folds).split(moments)]
    assert [[part.tolist() for part in fold] for fold in found] == [
        [part.tolist() for part in fold] for fold in expected
    ]


@settings(max_examples=200, deadline=None)
@given(MOMENTS, st.integers(2, 8), st.integers(0, 3), st.integers(1, 2))
def test_what_is_held_out_is_later_than_all_that_is_fitted_on_and_held_out_once(drawn, folds, classes, least):
    moments = np.array(drawn, np.int64)
    classes = np.arange(len(drawn)) % classes if classes else None
    if not can_be_divided(moments, classes, least):
        with pytest.raises(InputError, match=r"too few times|seen too late"):
            divide_by_time(folds, moments, classes, least)
        return
    parts = divide_by_time(folds, moments, classes, least)

    assert least <= len(parts) <= folds
    for fitted, held_out in parts:
        assert moments[fitted].max() < moments[held_out].min()
        assert sorted(fitted) == np.flatnonzero(moments < moments[held_out].min()).tolist()
        assert classes is None or set(classes[fitted]) == set(classes)
    held = np.concatenate([held_out for _, held_out in parts])
    assert len(set(held.tolist())) == len(held)
    assert sorted(held) == np.flatnonzero(moments >= moments[parts[0][1]].min()).tolist()


def can_be_divided(moments, classes, least):
    """Look at each time for whether rows from it on can be held out."""
    befores = [moments < moment for moment in np.unique(moments)]
    begun = [
        before
        for before in befores
        if before.sum() >= 2 and (classes is None or set(classes[before]) == set(classes))
    ]
    return len(moments) >= 2 * (least + 1) and len(begun) >= least and (~begun[0]).sum() >= 2


@settings(max_examples=60, deadline=None)
@given(MOMENTS, st.floats(0.05, 0.9))
def test_the_latest_rows_stop_a_fit_and_none_of_their_moment_is_fitted_on(drawn, ratio):
    moments = np.array(drawn, np.int64)
    if len(set(drawn)) < 2:
        with pytest.raises(InputError, match="too few times to stop a fit"):
            split_latest(ratio, moments)
        return
    fitted, stopping = split_latest(ratio, moments)

    assert moments[fitted].max() < moments[stopping].min()
    assert sorted([*fitted, *stopping]) == list(range(len(drawn)))


def test_of_different_times_the_share_that_is_asked_for_stops_a_fit():
    assert len(split_latest(0.2, np.arange(101))[1]) == 21


@pytest.mark.parametrize("moments", [[1, 2, 3, 4], [7] * 20, [1] * 10 + [2] * 10])
def test_too_few_times_are_told(moments):
    with pytest.raises(InputError, match="too few times to divide"):
        divide_by_time(4, np.array(moments), None)


def test_a_class_that_is_seen_too_late_is_named_with_the_time_and_not_the_number_of_times():
    days = np.arange(20) * 86_400_000_000

    with pytest.raises(InputError, match=r"class 1, .* first seen at 1970-01-19T00:00:00Z, in row 19 of 20"):
        divide_by_time(4, days, np.array([0] * 18 + [1] * 2))


def test_after_a_class_that_is_seen_late_what_is_left_is_shared_out():
    classes = np.array([0, 1] * 425 + [2] * 150)

    parts = divide_by_time(5, np.arange(1000), classes)

    assert len(parts) == 5
    assert {len(held_out) for _, held_out in parts} <= {29, 30}


@pytest.mark.parametrize(
    "moments",
    [
        # Months, of which the first is a bulk load.
        [0] * 700 + [month for month in range(1, 24) for _ in range(13)],
        [*range(50), *[50] * 900, *range(51, 101)],
        [*range(100), *[100] * 900],
    ],
)
def test_one_heavy_moment_leaves_the_others_to_hold_out(moments):
    parts = divide_by_time(5, np.array(moments), None)

    assert len(parts) >= 2
    assert len(np.unique(np.array(moments)[parts[-1][0]])) > 1


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_what_a_fold_is_fitted_on_can_be_stopped_and_divided_again(seed):
    classes = (np.random.default_rng(seed).random(150) < 0.1).astype(np.intp)
    moments = np.arange(150) // 2
    parts = divide_by_time(5, moments, classes)

    assert len(parts) >= 2
    for fitted, _ in parts:
        assert divide_by_time(3, moments[fitted], classes[fitted], least=1)
        assert split_latest(0.2, moments[fitted])


def test_a_fold_before_every_class_was_seen_is_none():
    classes = np.array([0] * 11 + [1] + [0, 1] * 9)

    parts = divide_by_time(5, np.arange(30), classes)

    assert [len(fitted) for fitted, _ in parts] == [15, 20, 25]
