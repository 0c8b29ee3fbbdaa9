"""Rows that are more than the memory is for are learned from as others are."""

import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from learning_project import train_project, write_project, write_rows, write_task_project

from components.evaluate_model import core as evaluation
from components.train_model import stored_examples, summaries
from components.train_model.batches import order_batches
from components.train_model.fit_transform import fit_rows
from components.train_model.heads import make_head
from components.train_model.splits import open_splits
from components.train_model.stored_examples import ExampleStore
from mulgil.artifacts import read_bundle
from mulgil.contract import Task
from mulgil.contract.answers import AnswerForm
from mulgil.contract.learning import Training
from mulgil.contract.specifications import specify_preprocessing
from mulgil.errors import InputError, TemporaryError
from mulgil.home import home
from mulgil.preprocessing.rows import read_rows
from mulgil.preprocessing.stored_rows import (
    StoredRows,
    count_numbers,
    count_rows_in_memory,
    open_rows,
    read_some,
)

SMALL = {"hidden_units": [4], "learning_rate": 0.05, "max_epochs": 4, "patience": 3}
# No table is as small as that.
ON_DISK = {"memory_megabytes": 1e-6}


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("MULGIL_HOME", str(tmp_path / "home"))


@pytest.fixture
def small_shards(monkeypatch):
    """Of 32 rows, the batch size, each."""
    monkeypatch.setattr(stored_examples, "SHARD_BYTES", 1)


def test_rows_of_one_shard_give_the_model_that_they_give_in_memory(tmp_path):
    for place, more in (("memory", {}), ("disk", ON_DISK)):
        training = {**SMALL, "calibration": "platt", "class_weights": "balanced", **more}
        project = write_project(tmp_path / place, training=training, decision={"least_recall": 0.5})
        history = train_project(project, tmp_path / place / "out")
        assert history.rows["train"] > 40
    in_memory, on_disk = (read_bundle(tmp_path / place / "out" / "bundle") for place in ("memory", "disk"))
    assert in_memory.files == on_disk.files
    assert not list((home() / "examples").iterdir())


@pytest.mark.parametrize("task", Task)
def test_rows_of_one_shard_are_encoded_and_ordered_as_in_memory(tmp_path, task):
    project = write_task_project(tmp_path, task)
    weights = "balanced" if task is Task.MULTICLASS_CLASSIFICATION else None
    width = AnswerForm.of(task, project.folder.dictionary).width
    seen = []
    for megabytes in (64, 1e-6):
        training = Training(memory_megabytes=megabytes)
        both = open_splits(project.rows_path, project.folder.dictionary, task, training).both
        assert isinstance(both, StoredRows) is (megabytes < 1)
        head = make_head(task, width, both, weights)
        with ExampleStore(home() / "examples", training) as store:
            transform = fit_rows(specify_preprocessing(project.folder.dictionary), both)
            examples = store.encode(transform, head, both)
            batches = list(order_batches(examples, head, training, 0, 2).as_numpy_iterator())
        seen.append((transform, head, batches))
    in_memory, on_disk = seen
    assert in_memory[:2] == on_disk[:2]
    for one, other in zip(in_memory[2], on_disk[2], strict=True):
        assert len(one) == (2 if weights is None else 3)
        for part, same in zip(one, other, strict=True):
            assert part.dtype == same.dtype
            np.testing.assert_array_equal(part, same)


def test_an_epoch_has_every_row_once_in_an_order_of_its_own(tmp_path, small_shards):
    project = write_project(tmp_path)
    write_rows(project.rows_path / "train.parquet", project.folder, rows=700, seed=1)
    dictionary, training = project.folder.dictionary, Training(batch_size=32)
    rows = open_rows(project.rows_path, "train", dictionary, batch_rows=32)
    head = make_head(Task.BINARY_CLASSIFICATION, 1, rows, "balanced")
    transform = fit_rows(specify_preprocessing(dictionary), rows)
    with ExampleStore(home() / "examples", training) as store:
        stored = store.encode(transform, head, rows)
        whole = store.encode(transform, head, read_rows(project.rows_path, "train", dictionary))
        assert len(stored.shards) > 16

        def read_epochs(first, last):
            batches = [
                [np.asarray(part) for part in b] for b in order_batches(stored, head, training, first, last)
            ]
            assert {len(batch[0]) for batch in batches} == {32, len(stored) % 32}
            steps = -(-len(stored) // 32)
            return [
                [np.concatenate(parts) for parts in zip(*batches[start : start + steps], strict=True)]
                for start in range(0, len(batches), steps)
            ]

        zeroth, first, second = read_epochs(0, 3)
        (again,) = read_epochs(2, 3)
        parts = list(stored.parts(20))
    for one, other in zip(second, again, strict=True):
        np.testing.assert_array_equal(one, other)
    assert (zeroth[1] != first[1]).any()
    expected = np.column_stack([whole.numbers, whole.target, head.weigh(whole.target)])
    read = np.concatenate([np.column_stack([part.numbers, part.target]) for part in parts])
    for found in (*(np.column_stack(epoch) for epoch in (zeroth, first, second)),):
        np.testing.assert_array_equal(*(rows[np.lexsort(rows.T)] for rows in (found, expected)))
    np.testing.assert_array_equal(*(rows[np.lexsort(rows.T)] for rows in (read, expected[:, :-1])))
    assert max(map(len, parts)) <= 20


def test_a_shard_is_a_sample_of_a_table_in_any_order(tmp_path, small_shards):
    project = write_project(tmp_path)
    write_rows(project.rows_path / "train.parquet", project.folder, rows=700, seed=1)
    path = project.rows_path / "train.parquet"
    pq.write_table(pq.read_table(path).sort_by("answer"), path)
    rows = open_rows(project.rows_path, "train", project.folder.dictionary, batch_rows=32)
    head = make_head(Task.BINARY_CLASSIFICATION, 1, rows)
    with ExampleStore(home() / "examples", Training()) as store:
        stored = store.encode(fit_rows(specify_preprocessing(project.folder.dictionary), rows), head, rows)
        shares = [part.target.mean() for part in stored.parts(32) if len(part) == 32]
    assert min(shares) > 0.15
    assert max(shares) < 0.85


@pytest.mark.parametrize("shard_bytes", [1, 1 << 22])
def test_some_of_the_rows_on_the_disk_are_a_sample_of_a_table_in_any_order(
    tmp_path, shard_bytes, monkeypatch
):
    monkeypatch.setattr(stored_examples, "SHARD_BYTES", shard_bytes)
    project = write_project(tmp_path)
    path = project.rows_path / "train.parquet"
    write_rows(path, project.folder, rows=700, seed=1)
    pq.write_table(pq.read_table(path).sort_by("answer"), path)
    training = Training(batch_size=256)
    rows = open_rows(
        project.rows_path, "train", project.folder.dictionary, batch_rows=256 if shard_bytes == 1 else 1000
    )
    head = make_head(Task.BINARY_CLASSIFICATION, 1, rows)
    with ExampleStore(home() / "examples", training) as store:
        stored = store.encode(fit_rows(specify_preprocessing(project.folder.dictionary), rows), head, rows)
        assert len(stored.shards) == (3 if shard_bytes == 1 else 1)
        some, same = stored.first(100), stored.first(100)
        assert len(stored.first(len(stored))) == len(stored)
    assert len(some) == 100
    assert 0.3 < some.target.mean() < 0.7
    np.testing.assert_array_equal(some.numbers, same.numbers)


def test_rows_that_the_disk_has_no_room_for_are_refused_before_any_is_written(tmp_path, monkeypatch):
    project = write_project(tmp_path, training={**SMALL, **ON_DISK})
    full = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(stored_examples.shutil, "disk_usage", lambda path: full)
    monkeypatch.setattr(stored_examples, "_encode", None)
    with pytest.raises(
        TemporaryError, match=r"no room for the \d+ rows(.|\n)*MB at .*/examples\n.*0\.001 MB"
    ):
        train_project(project, tmp_path / "out")
    assert not list((home() / "examples").iterdir())


def test_rows_that_are_drawn_have_every_class_as_a_split_must(tmp_path):
    project = write_project(tmp_path)
    path = project.rows_path / "train.parquet"
    write_rows(path, project.folder, rows=700, seed=1)
    table = pq.read_table(path)
    place = table.column_names.index("answer")
    pq.write_table(table.set_column(place, "answer", pa.array(np.arange(700) % 140 == 0)), path)
    rows = open_rows(project.rows_path, "train", project.folder.dictionary, batch_rows=64)
    for seed in range(5):
        drawn = rows.sample(50, seed)
        assert len(drawn) == 50
        assert drawn.target.sum() >= 2


@pytest.mark.parametrize("batch_rows", [7, 64])
def test_rows_are_the_same_however_many_are_read_at_once(tmp_path, batch_rows):
    project = write_project(tmp_path)
    dictionary = project.folder.dictionary
    whole = [read_rows(project.rows_path, split, dictionary) for split in ("train", "validation")]
    stored = [open_rows(project.rows_path, s, dictionary, batch_rows) for s in ("train", "validation")]
    both, joined = whole[0].joined(whole[1]), stored[0].joined(stored[1])
    assert (len(joined), joined.left_out) == (len(both), both.left_out)
    assert joined.left_out > 0
    np.testing.assert_array_equal(np.concatenate(list(joined.targets())), both.target)
    for name in ("share", "category_constant", "boolean_mean"):
        column = np.concatenate([part[name] for part in joined.columns([name])])
        np.testing.assert_array_equal(column, both.tensors[name])
    places = np.array([0, 5, len(both) - 1])
    assert joined.take(places).features.equals(both.take(places).features)
    assert joined.sample(len(both), 0).features.equals(both.features)
    drawn = joined.sample(9, 0)
    assert len(drawn) == 9
    assert drawn.features.equals(joined.sample(9, 0).features)
    assert len(joined.evenly(5)) == 5


@pytest.mark.parametrize("batch_rows", [7, 1000])
def test_the_transform_is_what_the_whole_table_gives(tmp_path, batch_rows):
    project = write_project(tmp_path)
    dictionary = project.folder.dictionary
    changes = {"outliers": "clip", "scaling": "robust"}
    columns = tuple(
        column.model_copy(update=changes) if column.type == "float" else column
        for column in dictionary.columns
    )
    dictionary = dictionary.model_copy(update={"columns": columns})
    specification = specify_preprocessing(dictionary)
    whole = fit_rows(specification, read_rows(project.rows_path, "train", dictionary))
    stored = open_rows(project.rows_path, "train", dictionary, batch_rows)
    if batch_rows == 1000:
        assert fit_rows(specification, stored) == whole
        return
    for one, other in zip(fit_rows(specification, stored).columns, whole.columns, strict=True):
        assert (one.codes, one.low, one.high) == (other.codes, other.low, other.high)
        for told in ("fill", "offset", "scale"):
            value, expected = getattr(one, told), getattr(other, told)
            assert value == (pytest.approx(expected, rel=1e-12) if isinstance(expected, float) else expected)


def test_what_needs_an_order_is_told_by_a_sample():
    sample = summaries.Sample(most=1000)
    values = np.random.default_rng(1).normal(size=20_000)
    for part in np.array_split(np.sort(values), 30):
        sample.add(part)
    assert len(sample.values) == 1000
    assert np.isin(sample.values, values).all()
    assert abs(np.median(sample.values) - np.median(values)) < 0.12


def test_numbers_in_parts_have_the_moments_of_the_whole():
    values = np.random.default_rng(1).normal(1e6, 1e-3, size=(999, 2))
    moments = summaries.Moments()
    for part in np.array_split(values, 17):
        moments.add(part)
    np.testing.assert_allclose(moments.mean, values.mean(axis=0), rtol=1e-15)
    np.testing.assert_allclose(moments.deviation, values.std(axis=0), rtol=1e-6)
    assert (moments.low == values.min(axis=0)).all()
    assert moments.count == 999


def test_other_families_are_fitted_on_as_many_rows_as_there_is_memory_for(tmp_path, capsys):
    project = write_project(tmp_path, training={"family": "linear", "memory_megabytes": 0.01})
    history = train_project(project, tmp_path / "out")
    said = capsys.readouterr().out
    assert 20 < sum(history.rows.values()) < 100
    assert f"{sum(history.rows.values())} of " in said
    assert "rows are in memory, drawn by lot" in said


def test_of_more_rows_than_may_be_some_are_read(tmp_path):
    project = write_project(tmp_path)
    dictionary = project.folder.dictionary
    whole = read_rows(project.rows_path, "test", dictionary)
    rows, of = read_some(project.rows_path, "test", dictionary, 60)
    assert (len(rows), of) == (len(whole), len(whole))
    rows, of = read_some(project.rows_path, "test", dictionary, 20)
    assert (len(rows), of) == (20, len(whole))
    assert set(rows.tensors["float_reject"]) < set(whole.tensors["float_reject"])
    assert 0 < rows.target.sum() < 20


def test_the_evaluation_sees_of_train_and_validation_together_as_many_rows_as_of_the_test(
    tmp_path, monkeypatch, capsys
):
    project = write_project(tmp_path)
    dictionary = project.folder.dictionary
    whole = evaluation._read(project.rows_path, ("train", "validation"), dictionary)
    assert "looked at" not in capsys.readouterr().out
    room = count_rows_in_memory(count_numbers(dictionary), 0.01)
    assert 20 < room < 60
    monkeypatch.setattr(evaluation, "_MEGABYTES", 0.01)

    train, validation = evaluation._read(project.rows_path, ("train", "validation"), dictionary)
    [test] = evaluation._read(project.rows_path, ("test",), dictionary)

    assert room - 2 <= len(train) + len(validation) <= room
    assert abs(len(train) - len(validation)) <= 1
    assert len(test) == room
    assert f"{len(train)} of {len(whole[0])} rows of train are looked at" in capsys.readouterr().out


def test_where_the_rows_are_is_decided_by_their_size():
    assert count_rows_in_memory(10, 64) == 1_600_000
    assert count_rows_in_memory(784, 64) == 20_408


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("float_reject", pa.nulls(60, pa.float64()), "float_reject lacks a value in 60 rows"),
        ("answer", pa.array([True] * 60), "58 yes and 0 no"),
        ("boolean_mean", None, "no boolean_mean"),
    ],
)
def test_rows_that_cannot_be_learned_from_are_refused_before_anything_is_read_again(
    tmp_path, column, values, message
):
    project = write_project(tmp_path, training={**SMALL, **ON_DISK})
    path = project.rows_path / "train.parquet"
    table = pq.read_table(path)
    place = table.column_names.index(column)
    table = table.remove_column(place) if values is None else table.set_column(place, column, values)
    pq.write_table(table, path)
    with pytest.raises(InputError, match=message):
        open_splits(
            project.rows_path,
            project.folder.dictionary,
            Task.BINARY_CLASSIFICATION,
            project.folder.project.training,
        )


def test_a_batch_of_which_every_row_is_dropped_is_passed_over(tmp_path, small_shards):
    project = write_task_project(tmp_path, Task.SCALAR_REGRESSION)
    dictionary, path = project.folder.dictionary, project.rows_path / "train.parquet"
    table = pq.read_table(path)
    place = table.column_names.index("float_drop_row")
    gone = pa.array([None] * 32 + table["float_drop_row"].to_pylist()[32:], pa.float64())
    pq.write_table(table.set_column(place, "float_drop_row", gone), path)
    rows = open_rows(project.rows_path, "train", dictionary, batch_rows=16)
    whole = read_rows(project.rows_path, "train", dictionary)

    assert (len(rows), rows.left_out) == (len(whole), whole.left_out)
    head = make_head(Task.SCALAR_REGRESSION, 1, rows)
    assert head.offset == pytest.approx(make_head(Task.SCALAR_REGRESSION, 1, whole).offset)
    transform = fit_rows(specify_preprocessing(dictionary), rows)
    with ExampleStore(home() / "examples", Training(batch_size=4)) as store:
        stored = store.encode(transform, head, rows)
        assert len(stored.shards) > 1
        read = np.concatenate([part.target for part in stored.parts(8)])
    np.testing.assert_array_equal(np.sort(read), np.sort(head.encode(whole)))


def test_what_a_killed_training_left_on_the_disk_goes_and_what_another_uses_stays(tmp_path):
    folder = tmp_path / "examples"
    (folder / "left").mkdir(parents=True)
    (folder / "left" / "000000.f32").write_bytes(b"1234")
    project = write_project(tmp_path)
    rows = open_rows(project.rows_path, "train", project.folder.dictionary, 32)
    head = make_head(Task.BINARY_CLASSIFICATION, 1, rows)
    transform = fit_rows(specify_preprocessing(project.folder.dictionary), rows)
    with ExampleStore(folder, Training()) as one, ExampleStore(folder, Training()) as other:
        first = one.encode(transform, head, rows)
        second = other.encode(transform, head, rows)
        assert not (folder / "left").exists()
        assert first.folder.exists()
        assert second.folder.exists()
    assert not list(folder.iterdir())
