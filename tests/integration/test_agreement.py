"""Training and serving agree: every two of family, task, missing policy and way to derive a column meet."""

from itertools import combinations

import numpy as np
import pytest
from agreement_matrix import (
    UNSCALED,
    check_case,
    every_case,
    every_way,
    meetings,
    pairwise_cases,
    policies,
    possible_options,
    write_case_project,
)
from fitted_families import check_served_as_fitted

from mulgil.contract import MissingPolicy, Task
from mulgil.contract.expressions import OPERATIONS
from mulgil.contract.learning import Family
from mulgil.errors import InputError
from mulgil.serving import row_encoder

PAIRWISE = pairwise_cases()


@pytest.mark.filterwarnings(*UNSCALED)
@pytest.mark.parametrize("case", PAIRWISE, ids=str)
def test_what_is_served_is_what_was_fitted(case, tmp_path):
    check_case(case, tmp_path)


def meet(cases):
    return {pair for case in cases for way in case.ways for pair in combinations((*case.factors, way), 2)}


def test_every_two_meet():
    assert meet(PAIRWISE) == meet(every_case())
    assert {way.operation for way in every_way()} == set(OPERATIONS)
    # Dates alone are kept as they are, and are no features.
    assert set(policies()) == set(MissingPolicy) - {MissingPolicy.KEEP}


def test_every_two_options_meet_in_the_whole_matrix_and_each_its_family_and_task_in_this_one():
    every = every_case()
    possible = {
        pair for case in every for options in possible_options(case) for pair in meetings(case, options)
    }
    met, here = (
        {pair for case in cases for pair in meetings(case, case.options)} for cases in (every, PAIRWISE)
    )
    assert met == possible
    assert not {pair for pair in possible - here if isinstance(pair[0], (Family, Task))}


def test_a_server_that_is_a_little_off_is_found(tmp_path, monkeypatch):
    affine = row_encoder._affine
    case = next(case for case in PAIRWISE if case.family is Family.LINEAR)
    monkeypatch.setattr(
        row_encoder,
        "_affine",
        lambda transform: tuple(part * np.float32(1.001) for part in affine(transform)),
    )

    with pytest.raises((AssertionError, InputError), match=r"not equal|another prediction|Not equal"):
        check_served_as_fitted(write_case_project(tmp_path, case), case.family, tmp_path / "bundle")
