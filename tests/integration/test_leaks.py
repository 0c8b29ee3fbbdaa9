"""Leaks: each is looked for by what it would change, and the look finds the leak where one is planted."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from learning_project import write_project, write_rows
from sklearn.model_selection import KFold, train_test_split

from components.ingest_data import core as ingestion
from components.train_model import (
    comparison,
    core,
    cross_validation,
    learning_curve,
    selection,
    splits,
    tuning,
)
from components.train_model.learners import Curve
from mulgil.artifacts import SPLITS
from mulgil.contract import ColumnType, MissingPolicy, Task, load_project
from mulgil.contract.cross_validation import CrossValidation
from mulgil.contract.learning import Training
from mulgil.contract.specifications import (
    PreprocessingColumn,
    PreprocessingSpecification,
    specify_preprocessing,
)
from mulgil.preprocessing.rows import TrainingRows, read_rows


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MULGIL_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    training = {"family": "linear", "hyperparameters": {"C": 0.1}}
    return write_project(tmp_path_factory.mktemp("leaks"), training=training, gates={})


@pytest.fixture
def rows(project):
    return read_rows(project.rows_path, "train", project.folder.dictionary)


class Recorder:
    """A learner that keeps what it is given to fit on, and knows nothing."""

    is_fitted_by_epochs = False

    def __init__(self):
        self.fitted = []

    def fit(self, head, examples, curve):
        assert curve == Curve((), ())
        self.fitted.append(examples.numbers)
        return self

    def predict(self, numbers):
        return np.full(len(numbers), 0.5)


def fit_the_first_fold(project, rows):
    """Return what a family would be fitted on in the first fold, and the places that it holds out."""
    training = Training(family="auto", folds=2)
    held_out = next(comparison.divide(Task.BINARY_CLASSIFICATION, training, rows))[1]
    recorder = Recorder()
    comparison.compare_families(
        lambda family: recorder,
        training,
        Task.BINARY_CLASSIFICATION,
        1,
        specify_preprocessing(project.folder.dictionary),
        rows,
    )
    return recorder.fitted[0], held_out


def with_numbers(rows, places, factor):
    """Return the rows with numbers that are so many times as great at some places."""
    table = rows.features
    for name in table.column_names:
        if pa.types.is_floating(table[name].type):
            values = table[name].to_numpy(zero_copy_only=False).copy()
            values[places] *= factor
            table = table.set_column(
                table.schema.get_field_index(name), name, pa.array(values, table[name].type, from_pandas=True)
            )
    return TrainingRows(table, rows.target, rows.left_out)


def look_for_scaling_by_rows_held_out(project, rows):
    before, held_out = fit_the_first_fold(project, rows)
    after, _ = fit_the_first_fold(project, with_numbers(rows, held_out, 1000.0))
    np.testing.assert_array_equal(before, after)


def test_rows_held_out_change_nothing_that_is_fitted_on(project, rows):
    look_for_scaling_by_rows_held_out(project, rows)


def test_scaling_by_all_rows_is_found(project, rows, monkeypatch):
    fit = comparison.fit_transform
    everything = {}

    def leak(specification, tensors):
        # The first to come are of a fold; those of all rows are what a pipeline before the split would see.
        return fit(specification, everything["tensors"])

    monkeypatch.setattr(comparison, "fit_transform", leak)
    fold = comparison.score_fold

    def remember(learner, task, width, specification, rows, *more):
        everything["tensors"] = rows.tensors
        return fold(learner, task, width, specification, rows, *more)

    monkeypatch.setattr(comparison, "score_fold", remember)

    with pytest.raises(AssertionError, match="not equal"):
        look_for_scaling_by_rows_held_out(project, rows)


def look_for_features_chosen_by_rows_held_out(project, rows):
    """Change the target of the rows held out: the features that a fold's model reads must be the same."""
    training = Training(family="linear", folds=2, selection={"method": "mutual_information", "columns": 3})
    places = next(comparison.divide(Task.BINARY_CLASSIFICATION, training, rows))
    other = rows.target.copy()
    # Now the rows held out say that one column is the answer.
    numbers = rows.features["float_reject"].to_numpy()
    other[places[1]] = numbers[places[1]] > np.median(numbers[places[1]])
    fitted = []
    for target in (rows.target, other):
        recorder = Recorder()
        comparison.score_fold(
            recorder,
            Task.BINARY_CLASSIFICATION,
            1,
            specify_preprocessing(project.folder.dictionary),
            TrainingRows(rows.features, target, 0, rows.derived),
            places,
            training,
        )
        fitted.append(recorder.fitted[0])
    np.testing.assert_array_equal(*fitted)


def test_no_row_held_out_chooses_a_feature(project, rows):
    look_for_features_chosen_by_rows_held_out(project, rows)


def test_features_chosen_by_all_rows_are_found(project, rows, monkeypatch):
    choose, take = comparison.select_features, TrainingRows.take
    divided = []

    def remember(self, places):
        divided.append(self)
        return take(self, places)

    def leak(training, learner, transform, head, rows):
        return choose(training, learner, transform, head, divided[-1])

    monkeypatch.setattr(TrainingRows, "take", remember)
    monkeypatch.setattr(comparison, "select_features", leak)

    with pytest.raises(AssertionError, match="not equal"):
        look_for_features_chosen_by_rows_held_out(project, rows)


def look_for_the_target_in_fillings(project, rows, other_target):
    """Train on the rows, and on the same with another target: what fills and scales must be the same."""
    columns = specify_preprocessing(project.folder.dictionary)
    one, other = (
        core.fit_rows(columns, TrainingRows(rows.features, target, 0))
        for target in (rows.target, other_target)
    )
    assert one == other


def test_no_filling_knows_the_target(project, rows):
    look_for_the_target_in_fillings(project, rows, ~rows.target)


def test_the_target_in_a_filling_is_found(project, rows, monkeypatch):
    tensors = TrainingRows.tensors.func

    # Every number is drawn towards its row's target, as a neighbour's by a distance that has it would be.
    def leak(self):
        return {
            name: values + self.target * np.float32(0.5) if values.dtype == np.float32 else values
            for name, values in tensors(self).items()
        }

    monkeypatch.setattr(TrainingRows, "tensors", property(leak))

    with pytest.raises(AssertionError):
        look_for_the_target_in_fillings(project, rows, ~rows.target)


FITTED = {
    "one family": {"family": "linear", "learning_curve": {"shares": [0.5, 1.0]}},
    "all families": {"family": "auto", "time_budget_seconds": 0.01},
    "tuning": {"family": "linear", "tuning": {"trials": 2, "space": {"C": {"low": 0.01, "high": 1}}}},
}


def look_for_test_rows_in_training(project, tmp_path, fitted):
    """Train beside two test sets, and beside none: the model must be the same, and so what was compared."""
    made = []
    for name in ("one", "other", "none"):
        folder = tmp_path / name
        shutil.copytree(project.rows_path, folder / "rows")
        if name == "other":
            write_rows(folder / "rows" / "test.parquet", project.folder, rows=200, seed=77)
        if name == "none":
            (folder / "rows" / "test.parquet").unlink()
        content = json.loads((project.path / "project.yaml").read_text())
        training = {**FITTED[fitted], "folds": 2}
        (folder / "project").mkdir()
        (folder / "project" / "project.yaml").write_text(json.dumps({**content, "training": training}))
        shutil.copy(project.path / "data_dictionary.yaml", folder / "project")
        bundle = core.train_model(
            project_path=folder / "project",
            training_rows_path=folder / "rows",
            feature_service_path=project.feature_service_path,
            bundle_path=folder / "bundle",
            history_path=folder / "history.json",
        )
        history = core.TrainingHistory.read(folder / "history.json")
        traced = history.learning_curve.points if history.learning_curve else ()
        losses = [tried.loss for tried in (*history.candidates, *history.trials)]
        losses += [point.losses for point in traced]
        made.append((bundle.files["model.onnx"], bundle.files["transform.json"], history.val_loss, losses))
    assert made[0] == made[1] == made[2]


@pytest.mark.parametrize("fitted", FITTED)
def test_no_test_row_is_compared_tried_or_fitted_on(project, tmp_path, fitted):
    look_for_test_rows_in_training(project, tmp_path, fitted)


@pytest.mark.parametrize("fitted", FITTED)
def test_test_rows_among_those_that_are_chosen_by_are_found(project, tmp_path, fitted, monkeypatch):
    def leak(path, split, dictionary, **asked):
        rows = read_rows(path, split, dictionary, **asked)
        is_there = split == "validation" and (path / "test.parquet").exists()
        return rows.joined(read_rows(path, "test", dictionary)) if is_there else rows

    monkeypatch.setattr(splits, "read_rows", leak)

    with pytest.raises(AssertionError):
        look_for_test_rows_in_training(project, tmp_path, fitted)


def test_test_rows_in_tuning_alone_are_found(project, tmp_path, monkeypatch):
    # What is fitted in the end is right; only the settings' scores have seen them.
    begin, read = tuning.CrossValidation.begin, {}

    def remember(path, split, dictionary, **asked):
        read.update(path=path, dictionary=dictionary)
        return read_rows(path, split, dictionary, **asked)

    def leak(self, training):
        if (read["path"] / "test.parquet").exists():
            self = replace(self, rows=self.rows.joined(read_rows(read["path"], "test", read["dictionary"])))
        return begin(self, training)

    monkeypatch.setattr(splits, "read_rows", remember)
    monkeypatch.setattr(tuning.CrossValidation, "begin", leak)

    with pytest.raises(AssertionError):
        look_for_test_rows_in_training(project, tmp_path, "tuning")


class Historian:
    """A learner that takes the time for its one feature, and fails where it is shown what is to come."""

    is_fitted_by_epochs = True

    def __init__(self):
        self.asked = 0

    def look(self, head, train, validation):
        assert train.numbers.max() < validation.numbers.min(), "stopped by what came before"
        return Curve((1.0,), (1.0,))

    def fit(self, head, examples, curve):
        fitted = Historian()
        fitted.latest, fitted.asked_of = examples.numbers.max(), self
        return fitted

    def predict(self, numbers):
        # All of them after what it knows, or all of what it knows.
        assert numbers.min() > self.latest or numbers.max() <= self.latest, "it knows the future"
        self.asked_of.asked += 1
        return np.full(len(numbers), 0.5)


def look_for_the_future():
    """Have every part that divides rows do so, of a table with times whose rows are in no order."""
    moments = np.random.default_rng(0).permutation(90)
    numbers = pa.table({"x": moments.astype(np.float32)})
    rows = TrainingRows(numbers, moments % 2 == 0, 0, moments=moments)
    column = PreprocessingColumn("x", False, MissingPolicy.REJECT, None, ())
    specification = PreprocessingSpecification((column,))
    asked = {
        "selection": {"method": "permutation_importance"},
        "learning_curve": {"shares": [0.5, 1.0]},
        "folds": 3,
    }
    training = Training(**asked)
    historian = Historian()
    given = (Task.BINARY_CLASSIFICATION, 1, specification, rows)
    compared = comparison.compare_families(lambda family: historian, training, *given)
    assert not any(score.reason for score in compared)
    assert learning_curve.trace_curve(historian, training, *given).points
    cross_validation.cross_validate(historian, training, CrossValidation(folds=3), *given)
    assert historian.asked > 3 * len(compared)


def test_no_model_of_a_table_split_by_time_is_scored_or_stopped_by_what_came_before():
    look_for_the_future()


def by_lot(folds, moments, classes, least=2):
    return list(KFold(folds, shuffle=True, random_state=0).split(moments))


def by_a_lot(ratio, moments):
    return train_test_split(np.arange(len(moments)), test_size=ratio, random_state=0)


@pytest.mark.parametrize(
    ("where", "name", "leak"),
    [
        (comparison, "divide_by_time", by_lot),
        (comparison, "split_latest", by_a_lot),
        (selection, "divide_by_time", by_lot),
    ],
)
def test_the_future_among_what_is_fitted_on_is_found(monkeypatch, where, name, leak):
    monkeypatch.setattr(where, name, leak)

    with pytest.raises(AssertionError, match=r"what came before|the future"):
        look_for_the_future()


def ingest_repeated_rows(tmp_path):
    """Ingest 60 rows of which each comes three times."""
    folder = tmp_path / "repeated"
    folder.mkdir()
    lines = [f"{place}.5,{place % 2}" for place in range(60)] * 3
    (folder / "rows.csv").write_text("\n".join(["length,answer", *lines]) + "\n")
    described = {"description": "Any."}
    columns = [
        {"name": "key", "role": "entity", "type": "integer", "generated": "row_number", **described},
        {
            "name": "at",
            "role": "event_timestamp",
            "type": "timestamp",
            "generated": "2026-01-01T00:00:00Z",
            **described,
        },
        {"name": "length", "type": "float", "range": [0, 100], **described},
        {"name": "answer", "role": "target", "type": "boolean", **described},
    ]
    content = {
        "name": "repeated",
        "problem": {"goal": "Test.", "success_measure": "Green."},
        "task": "binary_classification",
        "source": {"kind": "csv", "location": "rows.csv"},
    }
    (folder / "project.yaml").write_text(json.dumps(content))
    (folder / "data_dictionary.yaml").write_text(json.dumps({"columns": columns}))
    assert load_project(folder).dictionary.features[0].type is ColumnType.FLOAT
    ingestion.ingest_data(
        project_path=folder,
        source="",
        dataset_path=tmp_path / "dataset",
        quarantine_path=tmp_path / "quarantine",
    )
    return tmp_path / "dataset"


def look_for_rows_of_two_splits(dataset):
    lengths = [set(pq.read_table(dataset / f"{split}.parquet")["length"].to_pylist()) for split in SPLITS]
    assert all(lengths)
    for place, one in enumerate(lengths):
        for other in lengths[place + 1 :]:
            assert not one & other


def test_a_row_that_comes_again_is_in_one_split(tmp_path):
    look_for_rows_of_two_splits(ingest_repeated_rows(tmp_path))


def test_a_row_in_two_splits_is_found(tmp_path, monkeypatch):
    def leak(self, *, keeps_repeated):
        assert not keeps_repeated
        return np.arange(180)

    monkeypatch.setattr(ingestion.RowStore, "find_first", leak)

    with pytest.raises(AssertionError):
        look_for_rows_of_two_splits(ingest_repeated_rows(tmp_path))
