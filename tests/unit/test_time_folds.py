"""Folds by time: scikit-learn's own, and nothing that is fitted on is of later than what is held out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import TimeSeriesSplit

from components.train_model.time_folds import divide_by_time, split_latest
from mulgil.errors import InputError

MOMENTS = st.lists(st.integers(-5, 30), min_size=2, max_size=60)


@pytest.mark.parametrize(("rows", "folds"), [(30, 5), (31, 4), (6, 2), (12, 3)])
def test_folds_of_different_times_are_those_of_scikit_learn_in_the_order_of_the_times(rows, folds):
    moments = np.random.default_rng(rows).permutation(rows) * 10 - 50
    order = np.argsort(moments)

    found = divide_by_time(folds, moments, None)

    expected = [(order[fitted], order[held]) for fitted, held in TimeSeriesSplit(folds).split(moments)]
    assert [[part.tolist() for part in fold] for fold in found] == [
        [part.tolist() for part in fold] for fold in expected
    ]


@settings(max_examples=100, deadline=None)
@given(MOMENTS, st.integers(2, 8), st.booleans())
def test_what_is_held_out_is_later_than_all_that_is_fitted_on_and_held_out_once(drawn, folds, has_classes):
    moments = np.array(drawn, np.int64)
    classes = np.arange(len(drawn)) % 2 if has_classes else None
    try:
        parts = divide_by_time(folds, moments, classes)
    except InputError:
        return

    assert 2 <= len(parts) <= folds
    for fitted, held_out in parts:
        assert moments[fitted].max() < moments[held_out].min()
        assert sorted(fitted) == np.flatnonzero(moments < moments[held_out].min()).tolist()
        assert classes is None or set(classes[fitted]) == {0, 1}
    held = np.concatenate([held_out for _, held_out in parts])
    assert len(set(held.tolist())) == len(held)
    assert sorted(held) == np.flatnonzero(moments >= moments[parts[0][1]].min()).tolist()


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


@pytest.mark.parametrize(
    ("moments", "classes"),
    [
        ([1, 2, 3, 4], None),
        ([7] * 20, None),
        ([1] * 10 + [2] * 10, None),
        # The second class is seen too late.
        (list(range(20)), [0] * 16 + [1] * 4),
    ],
)
def test_too_few_times_are_told(moments, classes):
    with pytest.raises(InputError, match="too few times to divide"):
        divide_by_time(4, np.array(moments), None if classes is None else np.array(classes))


def test_a_fold_before_every_class_was_seen_is_none():
    classes = np.array([0] * 11 + [1] + [0, 1] * 9)

    parts = divide_by_time(5, np.arange(30), classes)

    assert [len(fitted) for fitted, _ in parts] == [15, 20, 25]
