"""The interval of a root mean squared error, where a few great errors decide it."""

import numpy as np
import pytest

from components.evaluate_model.great_errors import bound_root_mean_square

# Student's t of 5 degrees: its variance is 5/3.
TRUTH = np.sqrt(5 / 3)


def heavy(seed, rows=300):
    return np.random.default_rng(seed).standard_t(5, rows)


def test_the_truth_of_heavy_tails_is_held_about_as_often_as_is_said():
    # 95 % nominal; 200 repetitions give the share a standard error of 1.5 points.
    held = [
        low <= TRUTH <= high for low, high in (bound_root_mean_square(heavy(i), 0.95) for i in range(200))
    ]

    assert 0.92 <= np.mean(held) <= 0.98


def test_the_interval_holds_the_value_and_grows_with_confidence():
    errors = heavy(1)
    value = np.sqrt((errors**2).mean())

    (low, high), (wide_low, wide_high) = (bound_root_mean_square(errors, c) for c in (0.9, 0.99))

    assert wide_low < low < value < high < wide_high


def test_another_unit_gives_the_same_interval_in_that_unit():
    low, high = bound_root_mean_square(heavy(2), 0.95)

    assert bound_root_mean_square(1000 * heavy(2), 0.95) == pytest.approx((1000 * low, 1000 * high))


def test_of_several_targets_it_is_about_the_mean_of_their_roots():
    errors = np.stack([heavy(3), 10 * heavy(4)], axis=1)
    value = np.sqrt((errors**2).mean(axis=0)).mean()

    low, high = bound_root_mean_square(errors, 0.95)

    assert low < value < high
    assert 0.05 * value < high - low < 0.6 * value


@pytest.mark.parametrize(
    "errors",
    [
        np.ones(100),
        np.zeros(100),
        np.repeat([0.0, 3.0], [90, 10]),
        np.arange(19.0),
        heavy(5, 4000),
        # Of 100 resamples 5 hold none of the three, and are all alike.
        np.repeat([0.5, 40.0], [97, 3]),
        np.repeat([0.5, 40.0, 41.0, 42.0], [97, 1, 1, 1]),
        np.repeat([[0.5, 5.0], [40.0, 400.0]], [97, 3], axis=0),
        # Of 300 resamples one holds no error at all.
        np.concatenate([np.zeros(15), np.arange(1.0, 6.0)]),
    ],
    ids=[
        "alike",
        "none",
        "seldom",
        "few",
        "many",
        "three of two",
        "three",
        "three of two targets",
        "drawn without",
    ],
)
def test_where_there_is_no_tail_it_leaves_the_interval_to_the_bootstrap(errors):
    assert bound_root_mean_square(errors, 0.95) is None
