"""Distances between splits, and what chance alone makes of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from components.validate_data.divergence import judge_divergence
from mulgil.divergence import (
    MISSING,
    divide,
    divide_with_missing,
    greatest_by_chance,
    measure_divergence,
)

Draw = Callable[[np.random.Generator, int], np.ndarray]


def counts_of(training: np.ndarray, other: np.ndarray, *, is_ordered: bool) -> tuple[np.ndarray, np.ndarray]:
    cells = divide(training, other, is_ordered=is_ordered)
    return cells.p, cells.q


def test_the_divergence_is_scipys_in_bits() -> None:
    p, q = np.array([5, 0, 3, 2]), np.array([1, 4, 4, 1])
    assert measure_divergence(p, q) == pytest.approx(jensenshannon(p, q, base=2) ** 2)


def test_the_divergence_is_0_for_equal_shares_and_1_for_nothing_in_common() -> None:
    assert measure_divergence(np.array([1, 2]), np.array([10, 20])) == pytest.approx(0)
    assert measure_divergence(np.array([3, 0]), np.array([0, 5])) == pytest.approx(1)


def test_ten_cells_hold_as_many_training_rows_each_and_what_is_beyond_has_its_own() -> None:
    p, q = counts_of(np.arange(100.0), np.array([-5.0, 0.0, 99.0, 100.0, 101.0]), is_ordered=True)
    assert p.tolist() == [0, *[10] * 10, 0]
    assert q.tolist() == [1, 1, *[0] * 8, 1, 2]


def test_a_column_with_one_value_in_training_still_shows_another() -> None:
    for value in (-1.0, 1.0):
        p, q = counts_of(np.zeros(50), np.full(50, value), is_ordered=True)
        assert measure_divergence(p, q) == pytest.approx(1)


def test_codes_have_a_cell_each() -> None:
    p, q = counts_of(np.array([0.0, 0.0, 7.0]), np.array([3.0, 7.0]), is_ordered=False)
    assert (p.tolist(), q.tolist()) == ([2, 0, 1], [0, 1, 1])


@pytest.mark.parametrize(
    ("draw", "is_ordered"),
    [
        (lambda chance, size: chance.normal(size=size), True),
        (lambda chance, size: chance.poisson(2, size), True),
        (lambda chance, size: chance.choice(5, size, p=[0.4, 0.3, 0.2, 0.07, 0.03]), False),
    ],
    ids=["normal", "counts", "codes"],
)
@pytest.mark.parametrize(("rows", "other_rows"), [(180, 60), (800, 200)])
def test_two_samples_of_one_distribution_rarely_pass_what_chance_allows(
    draw: Draw, is_ordered: bool, rows: int, other_rows: int
) -> None:
    chance = np.random.default_rng(0)
    passed = 0
    for _ in range(400):
        training, other = draw(chance, rows).astype(float), draw(chance, other_rows).astype(float)
        p, q = counts_of(training, other, is_ordered=is_ordered)
        passed += measure_divergence(p, q) > greatest_by_chance(len(p), rows, other_rows)
    # 5 % are meant; the law is one of large samples, and few rows in the tails double it.
    assert 0.01 < passed / 400 < 0.13


def test_a_distance_is_recorded_and_not_judged_without_a_limit() -> None:
    check = judge_divergence("age", "test", np.zeros(90), np.ones(90), is_ordered=True, limit=None)
    assert (check.name, check.is_passed, check.value, check.limit) == (
        "skew:age:test",
        True,
        pytest.approx(1),
        None,
    )


def test_a_distance_beyond_the_limit_is_refused_by_name() -> None:
    check = judge_divergence("age", "test", np.zeros(90), np.ones(90), is_ordered=True, limit=0.1)
    assert not check.is_passed
    assert check.limit == pytest.approx(0.1)
    assert check.reason.startswith("age: the divergence of test from train is 1.000")


def test_where_chance_makes_more_than_the_limit_chance_is_the_limit() -> None:
    chance = np.random.default_rng(1)
    training, other = chance.normal(size=(2, 40))
    check = judge_divergence("age", "test", training, other, is_ordered=True, limit=0.001)
    assert check.is_passed
    assert check.value is not None
    assert check.limit is not None
    assert 0.001 < check.value < check.limit


def test_a_column_without_values_is_not_compared() -> None:
    nothing = np.full(5, np.nan)
    for training, other in ((nothing, np.ones(5)), (np.ones(5), nothing)):
        check = judge_divergence("age", "test", training, other, is_ordered=True, limit=0.1)
        assert check.is_passed
        assert check.value is None


@pytest.mark.parametrize("is_ordered", [True, False])
def test_values_of_a_column_that_had_none_before_are_a_change(is_ordered: bool) -> None:
    nothing, some = np.full(50, np.nan), np.array([3.0] * 20 + [np.nan] * 20)
    cells = divide_with_missing(nothing, some, is_ordered=is_ordered)

    assert cells is not None
    assert (cells.p.tolist(), cells.q.tolist()) == ([0, 50], [20, 20])
    assert cells.bounds == ((3.0, 3.0), MISSING)
    assert measure_divergence(cells.p, cells.q) > greatest_by_chance(2, 50, 40)
    assert divide_with_missing(nothing, nothing, is_ordered=is_ordered) is None
