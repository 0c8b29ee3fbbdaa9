import inspect
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from components.ingest_data.__main__ import build_parser
from components.ingest_data.core import ingest_data
from components.ingest_data.dataset import schema_of
from components.ingest_data.fingerprint import RowsFingerprint
from components.ingest_data.splits import SplitKeys, assign_rows, split_rows
from mulgil.artifacts import SPLITS
from mulgil.contract import load_project
from mulgil.contract.sources import Split
from mulgil.errors import InputError

HEART = Path(__file__).resolve().parents[2] / "projects" / "heart_disease"
TARGETS = pa.array([i % 10 == 0 for i in range(1000)])


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
    assert all(np.all(np.diff(part) > 0) for part in places.values())


def test_the_seed_alone_decides():
    one, again, other = (split_rows(TARGETS, Split(seed=seed))["test"].tolist() for seed in (1, 1, 2))
    assert one == again
    assert one != other


def test_a_stratified_split_keeps_a_rare_classs_share():
    for seed in range(5):
        places = split_rows(TARGETS, Split(seed=seed))
        shares = {
            name: sum(TARGETS[int(i)].as_py() for i in part) / len(part) for name, part in places.items()
        }
        assert shares == {"train": 0.1, "validation": 0.1, "test": 0.1}


def test_a_random_split_takes_what_comes():
    counts = {
        sum(TARGETS.take(pa.array(split_rows(TARGETS, Split(kind="random", seed=s))["test"])).to_pylist())
        for s in range(5)
    }
    assert len(counts) > 1


@pytest.mark.parametrize("kind", ["random", "stratified"])
@pytest.mark.parametrize("targets", [[True, False], [True] * 2 + [False] * 40, [True] + [False] * 40])
def test_too_few_rows_of_a_class_are_refused_with_the_counts(kind, targets):
    with pytest.raises(InputError, match=r"There are too few rows to split(.|\n)*True: \d+ row"):
        split_rows(pa.array(targets), Split(kind=kind))


def test_a_target_of_one_class_is_refused():
    with pytest.raises(InputError, match=r"the same value in every row(.|\n)*Received: True: 9 rows"):
        split_rows(pa.array([True] * 9), Split())


def test_where_no_row_is_left_the_target_is_not_blamed():
    with pytest.raises(InputError, match="No row is left to learn from"):
        split_rows(pa.array([], pa.bool_()), Split())


TARGET = load_project(HEART).dictionary.targets


def assign(key, split):
    targets = pa.array([i % 3 == 0 for i in range(len(key))])
    places = assign_rows(SplitKeys([targets], key), TARGET, split)
    assert sorted(i for part in places.values() for i in part.tolist()) == list(range(len(key)))
    return places


@pytest.mark.parametrize("kind", [pa.int64(), pa.string()])
def test_an_entity_is_in_one_split_and_stays_there_when_rows_are_added(kind):
    entities = [str(i % 200) for i in range(1000)]
    before = assign(pa.array(entities).cast(kind), Split(kind="group", seed=1))
    after = assign(
        pa.array([*entities, *(str(i) for i in range(300))]).cast(kind), Split(kind="group", seed=1)
    )

    home = {entities[i]: name for name, part in before.items() for i in part}
    assert all(home[entities[i]] == name for name, part in before.items() for i in part)
    assert all(home[entities[i]] == name for name, part in after.items() for i in part if i < 1000)
    assert 100 < len(before["test"]) < 300
    other = assign(pa.array(entities).cast(kind), Split(kind="group", seed=2))
    assert other["test"].tolist() != before["test"].tolist()


def test_the_latest_rows_test_and_no_time_is_in_two_splits():
    times = np.random.default_rng(0).integers(0, 100, 1000)
    moments = pa.array(times * 86_400_000_000).cast(pa.timestamp("us", "UTC"))
    places = assign(moments, Split(kind="time"))

    spans = [(times[places[name]].min(), times[places[name]].max()) for name in SPLITS]
    assert spans[0][1] < spans[1][0] <= spans[1][1] < spans[2][0]
    assert 150 < len(places["test"]) < 260


def test_a_column_can_say_the_split():
    names = ["train", "validation", "test", "train"] * 30
    places = assign(pa.array(names), Split(kind="predefined", column="fold"))
    assert all(names[i] == name for name, part in places.items() for i in part)


@pytest.mark.parametrize(
    ("kind", "key", "words"),
    [
        ("group", pa.array(["a"] * 30), "1 different values(.|\n)*rows of more entities"),
        ("time", pa.array([0] * 30, pa.timestamp("us", "UTC")), "rows of more times"),
        ("predefined", pa.array(["train", "test"] * 15), "No row is left for the split validation"),
    ],
)
def test_a_split_without_rows_is_refused(kind, key, words):
    with pytest.raises(InputError, match=words):
        assign(key, Split(kind=kind, column="fold" if kind == "predefined" else None))


def test_a_column_goes_with_a_predefined_split_alone():
    for wrong in ({"kind": "predefined"}, {"kind": "time", "column": "fold"}):
        with pytest.raises(ValueError, match="`column` goes with kind=predefined"):
            Split(**wrong)


def test_the_same_values_in_other_splits_or_another_order_have_another_fingerprint():
    dictionary = load_project(HEART).dictionary
    schema = schema_of(dictionary)

    def fingerprint(*parts):
        digest = RowsFingerprint(dictionary)
        for split, numbers in parts:
            # A row of nothing but its number: every other column is missing.
            rows = [{"patient_id": number} for number in numbers]
            digest.add(split, pa.RecordBatch.from_pylist(rows, schema=schema))
        return digest.value

    one = fingerprint(("train", [1]), ("test", [1, 2]))
    others = {
        fingerprint(("test", [1]), ("train", [1, 2])),
        fingerprint(("train", [1]), ("test", [2, 1])),
        fingerprint(("train", [1, 1]), ("test", [2])),
    }
    assert len(others | {one}) == 4
    assert fingerprint(("test", [1]), ("train", [1]), ("test", [2])) == one


def test_the_flags_are_the_cores_parameters():
    flags = {action.dest for action in build_parser()._actions} - {"help"}
    assert flags == set(inspect.signature(ingest_data).parameters)
    assert all(action.help for action in build_parser()._actions)
