import inspect
from collections import Counter
from pathlib import Path

import pytest

from components.ingest_data.__main__ import build_parser
from components.ingest_data.core import ingest_data
from components.ingest_data.dataset import fingerprint_rows
from components.ingest_data.splits import split_rows
from mulgil.artifacts import SPLITS
from mulgil.contract import load_project
from mulgil.contract.project import Split
from mulgil.errors import InputError

HEART = Path(__file__).resolve().parents[2] / "projects" / "heart_disease"
TARGETS = [i % 10 == 0 for i in range(1000)]


@pytest.mark.parametrize("kind", ["random", "stratified"])
def test_every_row_is_in_one_split_and_the_shares_are_exact(kind):
    places = split_rows(TARGETS, Split(kind=kind, test_ratio=0.25, validation_ratio=0.1))
    assert list(places) == list(SPLITS)
    assert sorted(i for part in places.values() for i in part) == list(range(1000))
    assert {name: len(part) for name, part in places.items()} == {
        "train": 650,
        "validation": 100,
        "test": 250,
    }
    assert all(part == sorted(part) for part in places.values())


def test_the_seed_alone_decides():
    assert split_rows(TARGETS, Split(seed=1)) == split_rows(TARGETS, Split(seed=1))
    assert split_rows(TARGETS, Split(seed=1)) != split_rows(TARGETS, Split(seed=2))


def test_a_stratified_split_keeps_a_rare_classs_share():
    for seed in range(5):
        places = split_rows(TARGETS, Split(seed=seed))
        shares = {name: Counter(TARGETS[i] for i in part)[True] / len(part) for name, part in places.items()}
        assert shares == {"train": 0.1, "validation": 0.1, "test": 0.1}


def test_a_random_split_takes_what_comes():
    counts = {
        sum(TARGETS[i] for i in split_rows(TARGETS, Split(kind="random", seed=s))["test"]) for s in range(5)
    }
    assert len(counts) > 1


@pytest.mark.parametrize("kind", ["random", "stratified"])
@pytest.mark.parametrize("targets", [[True, False], [True] * 2 + [False] * 40, [True] + [False] * 40])
def test_too_few_rows_of_a_class_are_refused_with_the_counts(kind, targets):
    with pytest.raises(InputError, match=r"There are too few rows to split(.|\n)*True: \d+ row"):
        split_rows(targets, Split(kind=kind))


def test_a_target_of_one_class_is_refused():
    with pytest.raises(InputError, match=r"the same value in every row(.|\n)*Received: True: 9 rows"):
        split_rows([True] * 9, Split())


def test_where_no_row_is_left_the_target_is_not_blamed():
    with pytest.raises(InputError, match="No row is left to learn from"):
        split_rows([], Split())


def test_the_same_values_in_other_splits_or_another_order_have_another_fingerprint():
    dictionary = load_project(HEART).dictionary
    one, two, owt = (
        {column.name: list(values) for column in dictionary.kept} for values in ([1], [1, 2], [2, 1])
    )
    fingerprints = {
        fingerprint_rows(splits, dictionary)
        for splits in ({"train": one, "test": two}, {"test": one, "train": two}, {"train": one, "test": owt})
    }
    assert len(fingerprints) == 3


def test_the_flags_are_the_cores_parameters():
    flags = {action.dest for action in build_parser()._actions} - {"help"}
    assert flags == set(inspect.signature(ingest_data).parameters)
    assert all(action.help for action in build_parser()._actions)
