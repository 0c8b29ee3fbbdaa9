"""Features that give the target away."""

from __future__ import annotations

import numpy as np
import pytest

from components.validate_data.leakage import judge_leakage

ANSWERS = np.tile([0.0, 1.0], 50)
NAN = np.nan
generator = np.random.default_rng(0)


def test_a_copy_of_the_target_is_refused_by_name() -> None:
    check = judge_leakage("copy", "sick", ANSWERS, ANSWERS, is_ordered=True)
    assert not check.is_passed
    assert check.reason.startswith("copy: is identical to sick on all 100 rows")


@pytest.mark.parametrize(
    ("values", "is_ordered"),
    [
        (1 - ANSWERS, True),
        (ANSWERS * 10 + generator.random(100), True),
        (-ANSWERS * 10 + generator.random(100), True),
        # A code each for two kinds of yes, and two kinds of no in between.
        (np.tile([1.0, 0.0, 2.0, 3.0], 25), False),
        # Recorded only where the answer was yes.
        (np.where(ANSWERS == 1, generator.random(100), NAN), True),
        (np.where(ANSWERS == 1, 0.0, NAN), False),
    ],
)
def test_a_feature_that_separates_the_answers_alone_is_refused(values: np.ndarray, is_ordered: bool) -> None:
    check = judge_leakage("result", "sick", values, ANSWERS, is_ordered=is_ordered)
    assert not check.is_passed
    assert check.reason.startswith("result: tells sick alone on all 100 rows")


@pytest.mark.parametrize("is_ordered", [True, False])
def test_one_row_that_disagrees_makes_it_a_feature_like_any_other(is_ordered: bool) -> None:
    values = ANSWERS.copy()
    values[0] = 1.0
    assert judge_leakage("sign", "sick", values, ANSWERS, is_ordered=is_ordered).is_passed
    values[0] = NAN
    values[1] = NAN
    assert judge_leakage("sign", "sick", values, ANSWERS, is_ordered=is_ordered).is_passed


def test_few_rows_are_separated_by_chance_and_refuse_nothing() -> None:
    assert judge_leakage("copy", "sick", ANSWERS[:16], ANSWERS[:16], is_ordered=True).is_passed
    assert not judge_leakage("copy", "sick", ANSWERS[:30], ANSWERS[:30], is_ordered=True).is_passed


def test_a_code_of_its_own_for_every_row_refuses_nothing() -> None:
    assert judge_leakage("name", "sick", np.arange(100.0), ANSWERS, is_ordered=False).is_passed


def test_a_target_with_one_answer_has_nothing_to_give_away() -> None:
    assert judge_leakage("copy", "sick", np.ones(100), np.ones(100), is_ordered=True).is_passed


def test_rows_without_an_answer_are_left_out() -> None:
    values, answers = np.append(ANSWERS, 1.0), np.append(ANSWERS, NAN)
    assert not judge_leakage("copy", "sick", values, answers, is_ordered=True).is_passed
