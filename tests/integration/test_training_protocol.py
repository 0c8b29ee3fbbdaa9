"""The protocol: a baseline, the capacity that overfits, the final fit, and one look at the test rows."""

import ctypes
import os
import struct
from inspect import signature
from pathlib import Path

import numpy as np
import pytest
from learning_project import train_project, write_project, write_task_project

from components.deploy_model.core import deploy_model
from components.evaluate_model.core import evaluate_model
from components.register_model.core import register_model
from components.train_model import core
from components.train_model.capacity import climb, list_steps, measure_baseline, turns_by_epoch, turns_by_step
from components.train_model.heads import Head
from components.train_model.learners import Curve, Examples
from mulgil.artifacts import CalibrationMap, DecisionRule, read_bundle
from mulgil.contract import Task
from mulgil.contract.learning import Training
from mulgil.errors import ContractError, InputError


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MULGIL_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def test_a_network_overfits_where_its_validation_loss_rises_while_its_training_loss_falls():
    falls = (0.6, 0.5, 0.4, 0.3, 0.2, 0.1)

    assert turns_by_epoch(Curve(falls, (0.6, 0.5, 0.52, 0.6, 0.7, 0.8)))
    assert not turns_by_epoch(Curve(falls, (0.6, 0.5, 0.49, 0.48, 0.47, 0.46))), "it still falls"
    assert not turns_by_epoch(Curve(falls, (0.6, 0.5, 0.51, 0.5, 0.52, 0.51))), "chance"
    assert not turns_by_epoch(Curve((0.6, 0.5, 0.6, 0.7, 0.8, 0.9), (0.6, 0.5, 0.6, 0.7, 0.8, 0.9)))
    assert not turns_by_epoch(Curve((0.6, 0.5), (0.5, 0.9))), "too few epochs tell nothing"


def test_a_step_overfits_where_a_simpler_one_was_better_on_validation_rows():
    before = [(0.6, 0.61), (0.4, 0.45)]

    assert turns_by_step(before, Curve((0.1,), (0.6,)))
    assert not turns_by_step(before, Curve((0.1,), (0.46,))), "chance"
    assert not turns_by_step(before, Curve((0.5,), (0.6,))), "it learned less"
    assert not turns_by_step([], Curve((0.1,), (9.0,)))


class Stairs:
    """Learners that overfit from a depth on, each taking ten seconds."""

    is_fitted_by_epochs = False

    def __init__(self, turns_at, fails_at=None):
        self.turns_at, self.fails_at, self.asked, self.now = turns_at, fails_at, [], 0.0

    def of(self, training):
        self.tried = training
        return self

    def look(self, head, train, validation):
        depth = self.tried.hyperparameters["max_depth"]
        self.asked.append(depth)
        self.now += 10
        if depth == self.fails_at:
            raise InputError("of no luck")
        return Curve((1 / depth,), (1.0 if depth >= self.turns_at else 0.5 + 0.1 / depth,), int(depth))


def climb_stairs(stairs, **ladder):
    training = Training(
        family="decision_tree", hyperparameters={"min_samples_leaf": 9}, capacity_ladder=ladder
    )
    return climb(stairs.of, training, None, None, None, clock=lambda: stairs.now)


def test_the_ladder_ends_at_the_first_step_that_overfits_and_lets_go_of_every_penalty():
    stairs = Stairs(turns_at=8)
    path = climb_stairs(stairs)

    assert stairs.asked == [1, 2, 4, 8]
    assert [step.is_overfitting for step in path.steps] == [False, False, False, True]
    assert path.steps[-1].name == "max_depth=8"
    assert path.steps[-1].parameters == 8
    assert path.reason == ""
    assert stairs.tried.hyperparameters["min_samples_leaf"] == 1


def test_the_ladder_says_why_it_ended_where_nothing_overfits():
    assert climb_stairs(Stairs(turns_at=99)).reason == "none of them overfits"
    path = climb_stairs(Stairs(turns_at=99), time_budget_seconds=15)
    assert path.reason == "the time budget of 15 s was over"
    assert len(path.steps) == 2, "the second was begun within the budget"
    path = climb_stairs(Stairs(turns_at=8, fails_at=2))
    assert path.steps[1].reason == "of no luck"
    assert path.steps[-1].is_overfitting


def test_a_network_grows_from_no_hidden_layer_to_many_times_its_width():
    declared = Training(hidden_units=(8, 3), capacity_ladder={})

    assert [step["hidden_units"] for step in list_steps(declared)] == [
        (),
        (2, 1),
        (8, 3),
        (32, 12),
        (128, 48),
    ]
    images = Training(convolutions=(32,), capacity_ladder={})
    assert list_steps(images)[0] == {"convolutions": (), "hidden_units": ()}
    assert list_steps(images)[1] == {"convolutions": (8,), "hidden_units": (4,)}
    own = Training(capacity_ladder={"steps": [{"hidden_units": [2]}]})
    assert list_steps(own) == ({"hidden_units": (2,)},)


@pytest.mark.parametrize(
    ("training", "said"),
    [
        (
            {"family": "linear", "capacity_ladder": {"steps": [{"depth": 3}]}},
            "linear grows by C; received depth",
        ),
        ({"family": "linear", "capacity_ladder": {"steps": [{"C": -1}]}}, "expected a number from 1e-06"),
        ({"family": "auto", "capacity_ladder": {"steps": [{"C": 1}]}}, "go with one family"),
        ({"builder": "network:build_model", "capacity_ladder": {}}, "expected `steps`"),
        ({"capacity_ladder": {"time_budget_seconds": 0}}, "greater than 0"),
        ({"final_fit": "test"}, "final_fit"),
    ],
)
def test_a_ladder_that_cannot_be_climbed_is_located(training, said, tmp_path):
    with pytest.raises(ContractError, match=said):
        write_project(tmp_path, training=training)


def test_a_setting_of_a_family_is_given_to_the_family_though_a_network_has_one_of_that_name():
    declared = Training(family="gradient_boosting", hyperparameters={"learning_rate": 0.2})

    tried = declared.with_settings({"learning_rate": 0.05})

    assert tried.hyperparameters == {"learning_rate": 0.05}
    assert tried.learning_rate == declared.learning_rate


def test_the_baseline_is_the_training_rows_shares_or_mean():
    binary = Head(Task.BINARY_CLASSIFICATION, 1)
    train, validation = (
        Examples(np.zeros((len(target), 1), np.float32), np.array(target, np.float32))
        for target in ([1, 0, 0, 0], [1, 1, 0, 0])
    )
    loss, val_loss = measure_baseline(binary, train, validation)
    assert loss == pytest.approx(-(0.25 * np.log(0.25) + 0.75 * np.log(0.75)), abs=1e-6)
    assert val_loss == pytest.approx(-(0.5 * np.log(0.25) + 0.5 * np.log(0.75)), abs=1e-6)
    balanced = Head(Task.BINARY_CLASSIFICATION, 1, class_weights=(2 / 3, 2.0))
    assert measure_baseline(balanced, train, validation)[0] == pytest.approx(np.log(2), abs=1e-6)
    classes = Head(Task.MULTICLASS_CLASSIFICATION, 2)
    coded = Examples(train.numbers, train.target.astype(np.int32))
    assert measure_baseline(classes, coded, coded)[0] == pytest.approx(loss, abs=1e-6)
    labels = Head(Task.MULTILABEL_CLASSIFICATION, 2)
    twice = Examples(train.numbers, np.stack([train.target, 1 - train.target], axis=1))
    assert measure_baseline(labels, twice, twice)[0] == pytest.approx(loss, abs=1e-6)
    number = Head(Task.SCALAR_REGRESSION, 1, (0.0,), (1.0,))
    assert measure_baseline(number, train, validation)[0] == pytest.approx(3 / 16)


def test_a_ladder_changes_nothing_of_what_is_served(tmp_path, capsys):
    settings = {"family": "decision_tree", "hyperparameters": {"max_depth": 2}}
    plain = write_project(tmp_path / "plain", training=settings)
    climbing = write_project(tmp_path / "climbing", training={**settings, "capacity_ladder": {}})

    train_project(plain, tmp_path / "plain")
    history = train_project(climbing, tmp_path / "climbing")

    one, other = (read_bundle(tmp_path / name / "bundle").files for name in ("plain", "climbing"))
    assert one == other
    assert history.ladder is not None
    assert history.ladder.steps[0].name == "max_depth=1"
    assert history.ladder.steps[0].parameters < history.parameters
    assert history.ladder.steps[-1].is_overfitting
    assert history.baseline_loss[0] > history.loss[0], "the baseline is beaten where it was fitted"
    assert "max_depth=1: loss" in capsys.readouterr().out


def test_a_final_fit_on_training_rows_alone_is_the_model_that_chose_threshold_and_calibration(tmp_path):
    settings = {"family": "linear", "calibration": "platt"}
    decision = {"false_positive_cost": 1, "false_negative_cost": 4}
    made = {}
    for final_fit in ("train", "train_and_validation"):
        project = write_task_project(
            tmp_path / final_fit,
            Task.BINARY_CLASSIFICATION,
            training={**settings, "final_fit": final_fit},
            decision=decision,
        )
        history = train_project(project, tmp_path / final_fit)
        bundle = tmp_path / final_fit / "bundle"
        made[final_fit] = (
            tuple(history.rows),
            CalibrationMap.read(bundle / "calibration.json"),
            DecisionRule.read(bundle / "decision.json").threshold,
            read_bundle(bundle).files["model.onnx"],
            read_bundle(bundle).files["transform.json"],
        )

    of_train, of_both = made["train"], made["train_and_validation"]
    assert of_train[0] == ("train",)
    assert of_both[0] == ("train", "validation")
    # Both were chosen by one and the same model.
    assert of_train[1:3] == of_both[1:3]
    assert of_train[3] != of_both[3]
    assert of_train[4] != of_both[4], "the preprocessing is fitted on the same rows as the model"


class Openings:
    """Counts how often a file is opened, by whomever, as the kernel tells it."""

    def __init__(self, path: Path) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._file = self._libc.inotify_init1(os.O_NONBLOCK)
        assert self._file >= 0
        opened = 0x20
        assert self._libc.inotify_add_watch(self._file, os.fsencode(path), opened) >= 0

    def count(self) -> int:
        """Return how often it was opened since it was last asked."""
        try:
            content = os.read(self._file, 1 << 16)
        except BlockingIOError:
            return 0
        found, place = 0, 0
        while place < len(content):
            _, _, _, length = struct.unpack_from("iIII", content, place)
            place += struct.calcsize("iIII") + length
            found += 1
        return found

    def close(self) -> None:
        os.close(self._file)


def train_on_watched_rows(tmp_path):
    """Train without an opening of the test rows, and return the project with what counts them."""
    training = {"family": "linear", "calibration": "platt", "capacity_ladder": {}}
    project = write_project(tmp_path, training=training, gates={})
    openings = Openings(project.rows_path / "test.parquet")
    train_project(project, tmp_path)
    assert openings.count() == 0
    return project, openings


def test_the_test_rows_are_looked_at_once_and_by_the_evaluation_alone(tmp_path):
    project, openings = train_on_watched_rows(tmp_path)
    evaluate_model(
        project_path=project.path,
        training_rows_path=project.rows_path,
        bundle_path=tmp_path / "bundle",
        evaluation_path=tmp_path / "evaluation.json",
        verdict_path=tmp_path / "verdict.json",
    )

    assert openings.count() == 1
    # What registers and deploys is not given the rows.
    for step in (register_model, deploy_model):
        assert not {"training_rows_path", "dataset_path"} & set(signature(step).parameters)


def test_a_look_at_the_test_rows_in_training_is_found(tmp_path, monkeypatch):
    def leak(path, *others, **asked):
        (path / "test.parquet").read_bytes()
        return open_splits(path, *others, **asked)

    open_splits = core.open_splits
    monkeypatch.setattr(core, "open_splits", leak)

    with pytest.raises(AssertionError):
        train_on_watched_rows(tmp_path)
