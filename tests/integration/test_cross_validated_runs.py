"""Folds through training and evaluation: test rows stay out, and the gate rests on the score."""

import contextlib
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from learning_project import train_project, write_rows, write_task_project
from sklearn.metrics import mean_pinball_loss, r2_score, roc_auc_score

from components.evaluate_model.core import evaluate_model
from components.train_model import core, cross_validation
from components.train_model.comparison import divide_into
from mulgil.artifacts import BUNDLE_CROSS_VALIDATION, Evaluation, HeldOutAnswers, Verdict
from mulgil.contract import Task
from mulgil.errors import GateRejectedError, InputError
from mulgil.preprocessing.rows import RowKey, read_rows
from mulgil.preprocessing.stored_rows import open_rows

FOLDS = {"folds": 4, "repeats": 2, "seed": 3}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MULGIL_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def write(root, task=Task.BINARY_CLASSIFICATION, **changes):
    return write_task_project(root, task, cross_validation=FOLDS, training={"family": "linear"}, **changes)


def train(project, out):
    train_project(project, out)
    return out / "bundle"


def evaluate(project, bundle, out):
    with contextlib.suppress(GateRejectedError):
        evaluate_model(
            project_path=project.path,
            training_rows_path=project.rows_path,
            bundle_path=bundle,
            evaluation_path=out / "evaluation.json",
            verdict_path=out / "verdict.json",
        )
    return Evaluation.read(out / "evaluation.json"), Verdict.read(out / "verdict.json")


def test_every_fold_is_scored_in_every_repeat_and_a_gate_rests_on_the_mean(tmp_path):
    project = write(tmp_path, gates={"cross_validated_floors": {"roc_auc": 0.999, "log_loss": 9.0}})
    bundle = train(project, tmp_path)
    evaluation, verdict = evaluate(project, bundle, tmp_path)
    answers = HeldOutAnswers.read(bundle / BUNDLE_CROSS_VALIDATION)
    scores = evaluation.cross_validation

    assert (scores.folds, scores.repeats) == (4, 2)
    assert scores.rows == sum(len(fold.target) for fold in answers.folds) // 2
    theirs = [roc_auc_score(fold.target, fold.predicted) for fold in answers.folds]
    assert scores.metrics["roc_auc"].values == pytest.approx(theirs)
    assert scores.metrics["roc_auc"].mean == pytest.approx(np.mean(theirs))
    found = {check.name: check.is_passed for check in verdict.checks if "cross_validated" in check.name}
    assert found == {"roc_auc_cross_validated_floor": False, "log_loss_cross_validated_floor": True}


def test_other_test_rows_leave_every_answer_of_the_folds_as_it_was(tmp_path):
    project = write(tmp_path)
    before = (train(project, tmp_path / "one") / BUNDLE_CROSS_VALIDATION).read_bytes()
    write_rows(project.rows_path / "test.parquet", project.folder, rows=60, seed=99)

    assert (train(project, tmp_path / "two") / BUNDLE_CROSS_VALIDATION).read_bytes() == before


def test_an_entity_that_the_split_keeps_together_is_in_one_fold_with_all_its_rows(tmp_path):
    project = write(tmp_path, split={"kind": "group"})
    for split in ("train", "validation"):
        place = project.rows_path / f"{split}.parquet"
        table = pq.read_table(place)
        # Five rows an entity, some of them among the training rows and some among those for validation.
        pq.write_table(table.append_column("key", [[row // 5 for row in range(len(table))]]), place)
    answers = HeldOutAnswers.read(train(project, tmp_path) / BUNDLE_CROSS_VALIDATION)
    rows = [
        read_rows(project.rows_path, split, project.folder.dictionary, key=RowKey.ENTITY)
        for split in ("train", "validation")
    ]
    entities = np.concatenate([part.entities for part in rows])

    joined = rows[0].joined(rows[1])
    asked = (FOLDS["folds"], FOLDS["seed"], Task.BINARY_CLASSIFICATION)
    parts = [held_out for _, held_out in divide_into(*asked, joined)]
    for fold, held_out in zip(answers.folds, parts, strict=False):
        assert fold.target == tuple(joined.target[held_out].tolist())
    # Rows that stay on the disk have theirs too.
    stored = open_rows(project.rows_path, "train", project.folder.dictionary, 7, key=RowKey.ENTITY)
    assert stored.take(np.arange(len(stored))).entities.tolist() == rows[0].entities.tolist()
    whose = [set(entities[held_out].tolist()) for held_out in parts]
    assert sum(map(len, whose)) == len(set(entities.tolist())) < len(entities)


def test_too_many_rows_are_refused_before_anything_is_fitted(tmp_path, monkeypatch):
    project = write_task_project(
        tmp_path, Task.BINARY_CLASSIFICATION, cross_validation=FOLDS, training={"family": "auto"}
    )
    monkeypatch.setattr(cross_validation, "_MOST_ANSWERS", 100)
    monkeypatch.setattr(core, "compare_families", lambda *_: pytest.fail("families were compared"))

    with pytest.raises(InputError, match="for tables that are small"):
        train(project, tmp_path)


def test_a_table_split_by_time_is_scored_on_folds_that_come_after_what_is_fitted_on(tmp_path):
    project = write_task_project(
        tmp_path,
        Task.SCALAR_REGRESSION,
        split={"kind": "time"},
        cross_validation={"folds": 3},
        training={"family": "linear"},
    )
    bundle = train(project, tmp_path)
    answers = HeldOutAnswers.read(bundle / BUNDLE_CROSS_VALIDATION)
    splits = [
        read_rows(project.rows_path, split, project.folder.dictionary, key=RowKey.MOMENT)
        for split in ("train", "validation")
    ]
    rows = splits[0].joined(splits[1])
    in_order = rows.target[np.argsort(rows.moments, kind="stable")]
    size = len(rows) // 4

    assert np.concatenate([fold.target for fold in answers.folds]).tolist() == in_order[-3 * size :].tolist()
    assert [fold.fitted_rows for fold in answers.folds] == [len(rows) - left * size for left in (3, 2, 1)]
    # Rows that stay on the disk have their times too.
    stored = open_rows(project.rows_path, "train", project.folder.dictionary, 7, key=RowKey.MOMENT)
    np.testing.assert_array_equal(stored.take(np.arange(len(stored))).moments, splits[0].moments)
    evaluation, _ = evaluate(project, bundle, tmp_path)
    assert (evaluation.cross_validation.folds, evaluation.cross_validation.repeats) == (3, 1)


def test_numbers_are_scored_in_their_own_unit(tmp_path):
    # Its pinball loss is of the quantile that the gates are of.
    project = write(tmp_path, Task.SCALAR_REGRESSION, gates={"quantile": 0.9})
    bundle = train(project, tmp_path)
    evaluation, _ = evaluate(project, bundle, tmp_path)
    answers = HeldOutAnswers.read(bundle / BUNDLE_CROSS_VALIDATION)

    theirs = [r2_score(fold.target, fold.predicted) for fold in answers.folds]
    assert evaluation.cross_validation.metrics["r2"].values == pytest.approx(theirs)
    theirs = [mean_pinball_loss(fold.target, fold.predicted, alpha=0.9) for fold in answers.folds]
    assert evaluation.cross_validation.metrics["pinball"].values == pytest.approx(theirs)
    targets = np.concatenate([fold.target for fold in answers.folds])
    given = np.concatenate([fold.predicted for fold in answers.folds])
    assert abs(targets.mean() - given.mean()) < targets.std()
    assert (
        json.loads((tmp_path / "evaluation.json").read_text())["cross_validation"]["rows"] == len(targets) / 2
    )
