"""Rows that have labels: each split has its share of each, and what cannot be divided is told by name."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.ingest_data.label_splits import draw_by_labels, has_rare_sets
from components.ingest_data.splits import SplitKeys, assign_rows
from mulgil.artifacts import SPLITS
from mulgil.contract import Column
from mulgil.contract.sources import Split
from mulgil.errors import InputError

RATIOS = {"train": 0.6, "validation": 0.2, "test": 0.2}


def labels(count):
    return [
        Column(name=f"label_{place}", role="target", type="boolean", description="Any.")
        for place in range(count)
    ]


def arrays(marks):
    return [pa.array(mark) for mark in np.asarray(marks, np.bool_).T]


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 10_000), st.integers(20, 300), st.integers(2, 6))
def test_every_row_has_one_split_and_every_label_its_share(seed, rows, count):
    random = np.random.default_rng(seed)
    marks = random.random((rows, count)) < random.uniform(0.01, 0.6, count)

    places = draw_by_labels(arrays(marks), Split(seed=seed))

    assert sorted(place for part in places.values() for place in part.tolist()) == list(range(rows))
    for name, part in places.items():
        assert part.tolist() == sorted(part.tolist())
        # Within what the rows of as many sets, or of as many rare labels, may be off.
        assert abs(len(part) - RATIOS[name] * rows) <= 3 + 2 * count
        assert (np.abs(marks[part].sum(axis=0) - RATIOS[name] * marks.sum(axis=0)) <= 3 + 2 * count).all()


@pytest.mark.parametrize("seed", range(20))
def test_a_label_of_few_rows_is_in_every_split_whatever_is_drawn(seed):
    random = np.random.default_rng(seed)
    marks = random.random((400, 4)) < 0.3
    # Six and ten of the rows say yes; all but seven say so to the last.
    for label, rows in ((0, 6), (1, 10), (3, 7)):
        marks[:, label] = False
        marks[random.choice(400, rows, replace=False), label] = True
    marks[:, 3] = ~marks[:, 3]
    split = Split(seed=seed)
    assert has_rare_sets(arrays(marks), split)

    places = assign_rows(SplitKeys(arrays(marks), None), labels(4), split)

    for name in SPLITS:
        yes = marks[places[name]].sum(axis=0)
        assert (np.minimum(yes, len(places[name]) - yes) >= 2).all()


def test_the_same_seed_gives_the_same_splits_and_another_gives_others():
    marks = np.random.default_rng(0).random((300, 8)) < 0.3
    one, again, other = (draw_by_labels(arrays(marks), Split(seed=seed)) for seed in (1, 1, 2))

    assert all(one[name].tolist() == again[name].tolist() for name in SPLITS)
    assert one["test"].tolist() != other["test"].tolist()


def test_common_sets_of_labels_keep_their_shares_to_a_row():
    marks = np.repeat([[0, 0], [0, 1], [1, 0], [1, 1]], [500, 300, 150, 3], axis=0)

    places = draw_by_labels(arrays(marks), Split())

    for name, part in places.items():
        for both, rows in (((0, 0), 500), ((0, 1), 300), ((1, 0), 150)):
            assert abs((marks[part] == both).all(axis=1).sum() - RATIOS[name] * rows) <= 1


@pytest.mark.parametrize("kind", ["stratified", "random", "predefined"])
def test_a_label_that_no_split_can_be_judged_by_is_named_with_its_rows(kind):
    marks = np.random.default_rng(0).random((90, 3)) < 0.5
    marks[:, 1] = False
    marks[:4, 1] = True
    names = pa.array(["train", "validation", "test"] * 30) if kind == "predefined" else None
    split = Split(kind=kind, column="fold" if kind == "predefined" else None)

    with pytest.raises(
        InputError, match=r"too few rows of a label to split(.|\n)*label_1 yes: \d in train"
    ) as told:
        assign_rows(SplitKeys(arrays(marks), names), labels(3), split)
    assert "label_0" not in str(told.value)
    assert "label_1 no" not in str(told.value)
