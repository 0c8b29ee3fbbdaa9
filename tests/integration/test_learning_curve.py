"""The learning curve: each part within the next, by class, seeded, judged on rows held out."""

import numpy as np
import pytest
from learning_project import train_project, write_project, write_task_project

from components.train_model.learners import Curve
from components.train_model.learning_curve import has_enough, order_rows, trace_curve
from mulgil.contract import Task
from mulgil.contract.learning import Training
from mulgil.contract.specifications import specify_preprocessing
from mulgil.errors import ContractError
from mulgil.preprocessing.rows import read_rows


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MULGIL_HOME", str(tmp_path / "home"))


def test_the_first_rows_of_an_order_have_each_classes_share_however_many_they_are():
    target = np.repeat([0, 1], [90, 10])
    order = order_rows(Task.MULTICLASS_CLASSIFICATION, target, seed=3)

    assert sorted(order) == list(range(100))
    for rows in (20, 50, 80):
        assert abs(target[order[:rows]].sum() - rows / 10) <= 1
    assert not np.array_equal(order, order_rows(Task.MULTICLASS_CLASSIFICATION, target, seed=4))
    np.testing.assert_array_equal(order, order_rows(Task.MULTICLASS_CLASSIFICATION, target, seed=3))


def test_rows_without_two_of_each_class_or_two_numbers_are_not_learned_from():
    yes = np.repeat([False, True], [18, 2])
    assert has_enough(Task.BINARY_CLASSIFICATION, yes, 1)
    assert not has_enough(Task.BINARY_CLASSIFICATION, yes[:19], 1)
    assert not has_enough(Task.BINARY_CLASSIFICATION, yes[11:], 1), "nine rows"
    assert not has_enough(Task.MULTICLASS_CLASSIFICATION, yes.astype(int), 3)
    labels = np.stack([yes, np.ones(20, bool)], axis=1)
    assert not has_enough(Task.MULTILABEL_CLASSIFICATION, labels, 2)
    assert not has_enough(Task.SCALAR_REGRESSION, np.ones(20), 1)
    assert has_enough(Task.SCALAR_REGRESSION, np.arange(20.0), 1)


class Recorder:
    """A learner that keeps what it is given to fit on, and says a half."""

    is_fitted_by_epochs = False

    def __init__(self):
        self.rows, self.now = [], 0.0

    def fit(self, head, examples, curve):
        assert curve == Curve((), ())
        self.rows.append(len(examples.numbers))
        self.now += 10
        return self

    def predict(self, numbers):
        return np.full(len(numbers), 0.5)


def trace(project, **asked):
    recorder = Recorder()
    rows = read_rows(project.rows_path, "train", project.folder.dictionary)
    curve = trace_curve(
        recorder,
        Training(family="linear", folds=3, learning_curve=asked),
        Task.BINARY_CLASSIFICATION,
        1,
        specify_preprocessing(project.folder.dictionary),
        rows,
        clock=lambda: recorder.now,
    )
    return curve, recorder, len(rows)


def test_every_number_of_rows_is_fitted_in_every_fold_until_the_time_is_over(tmp_path):
    project = write_project(tmp_path)

    curve, recorder, rows = trace(project, shares=[1.0, 0.5, 0.05])

    half, whole = (point.rows for point in curve.points)
    assert whole == round(rows * 2 / 3)
    assert half == pytest.approx(whole / 2, abs=1)
    assert [len(point.losses) for point in curve.points] == [3, 3]
    assert curve.points[0].losses == pytest.approx([np.log(2)] * 3)
    assert curve.reason == "0.05 of the rows: too few rows, or of a class"
    assert len(recorder.rows) == 6
    assert curve.seconds == 60
    curve, _, _ = trace(project, shares=[0.5, 1.0], time_budget_seconds=25)
    assert [len(point.losses) for point in curve.points] == [2, 2]
    assert curve.reason == "the time budget of 25 s was over after 2 folds"


def test_more_rows_are_better_and_the_curve_is_the_same_again_and_changes_nothing_of_the_model(
    tmp_path, capsys
):
    made = {}
    for name, asked in (("plain", {}), ("one", {"learning_curve": {}}), ("other", {"learning_curve": {}})):
        training = {"family": "linear", **asked}
        project = write_task_project(tmp_path / name, Task.SCALAR_REGRESSION, training=training)
        history = train_project(project, tmp_path / name)
        made[name] = (history.learning_curve, (tmp_path / name / "bundle" / "model.onnx").read_bytes())

    curve = made["one"][0]
    assert made["plain"][0] is None
    assert curve.points == made["other"][0].points
    assert made["plain"][1] == made["one"][1]
    first, last = curve.points[0], curve.points[-1]
    assert first.rows < last.rows
    assert np.mean(first.losses) > np.mean(last.losses)
    assert np.mean(first.training_losses) < np.mean(last.training_losses)
    assert f"{last.rows}: {np.mean(last.losses):.4f} ±" in capsys.readouterr().out


def test_a_share_that_is_none_is_located(tmp_path):
    with pytest.raises(ContractError, match="shares"):
        write_project(tmp_path, training={"learning_curve": {"shares": [0.5, 1.5]}})
    with pytest.raises(ContractError, match="each share once"):
        write_project(tmp_path / "twice", training={"learning_curve": {"shares": [0.5, 0.5]}})
