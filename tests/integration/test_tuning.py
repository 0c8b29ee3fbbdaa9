"""Tuning: what is proposed, what ends early, what goes on after a kill, and when its score is doubted."""

import json
import pickle

import numpy as np
import pytest
import tensorflow as tf
from learning_project import train_project, write_project, write_task_project

from components.train_model import fold_workers, tuning
from components.train_model.fit_transform import fit_transform
from components.train_model.fold_workers import BegunFolds, count_processes
from components.train_model.progress import LocalProgress
from components.train_model.tuning import (
    CrossValidation,
    Progress,
    count_at_once,
    doubt_best,
    is_surely_worse,
    tune,
)
from mulgil import source_code
from mulgil.artifacts import TuningTrial
from mulgil.contract import MissingPolicy, Task
from mulgil.contract.dictionary import Scaling
from mulgil.contract.learning import SEEDS, Training
from mulgil.contract.specifications import (
    PreprocessingColumn,
    PreprocessingSpecification,
    specify_preprocessing,
)
from mulgil.errors import ContractError, InputError
from mulgil.preprocessing import FittedTransform
from mulgil.preprocessing.rows import read_rows


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MULGIL_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


class Valley(CrossValidation):
    """Losses that are least at max_depth 7, over folds of which each is as hard for all."""

    def __init__(self, dies_after=None):
        super().__init__(None, Task.BINARY_CLASSIFICATION, 1, None, None)
        object.__setattr__(self, "asked", [])
        object.__setattr__(self, "dies_after", dies_after)

    def begin(self, training):
        return BegunFolds(iter([(training.hyperparameters.get("max_depth", 50), 0.0)]))

    def score(self, begun, settings, best):
        if len(self.asked) == self.dies_after:
            raise KeyboardInterrupt
        depth, _ = next(begun.losses)
        self.asked.append(depth)
        if depth == 13:
            raise InputError("of no luck")
        losses = tuple(fold + abs(depth - 7) for fold in (0.1, 0.2, 0.3))
        return TuningTrial(settings=settings, loss=float(np.mean(losses)), losses=losses)


def training(method="random", trials=12, **more):
    space = {"max_depth": {"low": 1, "high": 30}}
    return Training(
        family="decision_tree", tuning={"method": method, "trials": trials, "space": space, **more}
    )


def place(folder):
    return Progress(LocalProgress(folder), "search.json")


@pytest.mark.parametrize(("method", "trials"), [("random", 12), ("bayesian", 5)])
def test_the_setting_of_the_least_loss_is_taken(method, trials, tmp_path):
    scoring = Valley()
    tuned = tune(training(method, trials), scoring, place(tmp_path / "search"))

    assert tuned.trials[0].settings == {}
    assert len(tuned.trials) == trials + 1
    best = min((depth for depth in scoring.asked if depth != 13), key=lambda depth: abs(depth - 7))
    assert tuned.training.hyperparameters == {"max_depth": best}
    assert tuned.training.tuning is None
    assert abs(best - 7) < abs(scoring.asked[0] - 7)


def test_the_folds_of_what_is_not_tried_yet_take_no_memory(monkeypatch):
    divided = []
    monkeypatch.setattr(tuning, "divide", lambda *given: divided.append(given) or iter([(None, None)] * 3))
    monkeypatch.setattr(tuning, "score_fold", lambda *given: 0.5)
    scoring = CrossValidation(lambda tried: None, Task.BINARY_CLASSIFICATION, 1, None, None)

    begun = [scoring.begin(training()) for _ in range(1000)]

    assert divided == []
    assert scoring.score(begun[0], {}, None).losses == (0.5, 0.5, 0.5)
    assert len(divided) == 1


def test_the_greatest_seed_is_one_too(tmp_path):
    seeded = training("bayesian", 1).model_copy(update={"seed": SEEDS - 1})
    one, other = (tune(seeded, Valley(), place(tmp_path / name)) for name in ("one", "other"))

    assert [trial.settings for trial in one.trials] == [trial.settings for trial in other.trials]


def test_the_declared_setting_is_kept_where_no_other_is_better(tmp_path):
    declared = training().model_copy(update={"hyperparameters": {"max_depth": 7}})
    declared.tuning.space["max_depth"].__dict__.update(low=20.0)

    tuned = tune(declared, Valley(), place(tmp_path / "search"))

    assert tuned.settings == {}
    assert tuned.training.hyperparameters == {"max_depth": 7}


def test_a_search_that_was_killed_goes_on_and_tries_what_an_undisturbed_one_does(tmp_path):
    whole = Valley()
    undisturbed = tune(training(), whole, place(tmp_path / "whole"))
    killed = Valley(dies_after=5)
    with pytest.raises(KeyboardInterrupt):
        tune(training(), killed, place(tmp_path / "killed"))
    rest = Valley()
    resumed = tune(training(), rest, place(tmp_path / "killed"))

    assert len(killed.asked) == 5
    assert killed.asked + rest.asked == whole.asked
    assert [trial.settings for trial in resumed.trials] == [trial.settings for trial in undisturbed.trials]
    assert resumed.settings == undisturbed.settings


class SideBySide(Valley):
    """As processes do it: what is begun may end in any order, and is only then asked for."""

    def __init__(self):
        super().__init__()
        object.__setattr__(self, "begun", [])
        object.__setattr__(self, "cancelled", [])

    def begin(self, training):
        [(depth, _)] = super().begin(training).losses
        self.begun.append(depth)
        return BegunFolds(iter([(depth, 0.0)]), [Cancelled(self.cancelled, depth)])


class Cancelled:
    def __init__(self, noted, depth):
        self.cancel = lambda: noted.append(depth)


@pytest.mark.parametrize("method", ["random", "bayesian"])
def test_settings_proposed_at_once_are_begun_together_and_judged_in_their_order(tmp_path, method):
    asked = training(method, 6, proposed_at_once=3)
    one, several = Valley(), SideBySide()

    expected, found = (
        tune(asked, scoring, place(tmp_path / name)) for scoring, name in ((one, "1"), (several, "n"))
    )

    assert one.asked == several.asked == several.begun
    assert found.settings == expected.settings
    assert [trial.settings for trial in found.trials] == [trial.settings for trial in expected.trials]
    # What is drawn hears of nothing; what is asked of a Gaussian process depends on what it has heard.
    alone = tune(training(method, 6), Valley(), place(tmp_path / "alone"))
    assert ([trial.settings for trial in alone.trials] == [trial.settings for trial in found.trials]) is (
        method == "random"
    )


def test_as_many_settings_are_begun_as_are_proposed_at_once_and_those_left_over_are_given_up(tmp_path):
    assert count_at_once(training("random", 7).tuning) == 7
    assert count_at_once(training("bayesian", 7).tuning) == 1
    several = SideBySide()

    tune(training("bayesian", 6, proposed_at_once=3, time_budget_seconds=1e-9), several, place(tmp_path))

    assert len(several.begun) == 4, "what is declared, and three at once"
    assert several.asked == several.begun[:2]
    assert several.cancelled == several.begun[2:]


@pytest.mark.parametrize("content", [b"", b"[]", b'{"declared": {"loss": "no number"}}', b"\xff"])
def test_what_a_search_left_that_cannot_be_read_is_searched_anew(tmp_path, content):
    (tmp_path / "search.json").write_bytes(content)
    scoring = Valley()

    tune(training(trials=2), scoring, place(tmp_path))

    assert len(scoring.asked) == 3


def test_no_setting_is_begun_after_the_time_is_over(tmp_path):
    tuned = tune(training(time_budget_seconds=1e-9), Valley(), place(tmp_path / "search"))

    assert len(tuned.trials) == 2


def test_a_mistake_of_ours_ends_the_search(tmp_path):
    class Broken(Valley):
        def score(self, begun, settings, best):
            if settings:
                raise ZeroDivisionError("ours")
            return super().score(begun, settings, best)

    with pytest.raises(ZeroDivisionError, match="ours"):
        tune(training(), Broken(), place(tmp_path / "search"))


def test_losses_surely_greater_on_the_same_folds_end_a_trial_and_others_do_not():
    best = (0.5, 0.7, 0.3, 0.6, 0.5)

    assert is_surely_worse((0.6, 0.82, 0.41), best)
    assert not is_surely_worse((0.6, 0.82), best), "two folds tell nothing"
    assert not is_surely_worse((0.9, 0.5, 0.3), best)
    assert not is_surely_worse((0.4, 0.6, 0.2), best)


def trials(*losses):
    return [TuningTrial(settings={}, loss=float(np.mean(one)), losses=one) for one in losses]


def test_a_gain_that_the_best_of_so_many_has_by_chance_is_doubted():
    chance = np.random.default_rng(0)
    declared = tuple(chance.normal(0.5, 0.05, 5))
    alike = [tuple(chance.normal(0.5, 0.05, 5)) for _ in range(30)]

    assert "gains up to" in doubt_best(trials(declared, *alike))


def test_a_gain_on_every_fold_is_not_doubted_nor_is_none():
    declared = (0.5, 0.6, 0.4, 0.5, 0.55)

    better = tuple(loss - 0.2 + 0.001 * place for place, loss in enumerate(declared))
    assert doubt_best(trials(declared, better)) == ""
    assert doubt_best(trials(declared, tuple(loss + 0.2 for loss in declared))) == ""
    assert doubt_best(trials(declared)) == ""


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"family": "auto"}, "goes with one family"),
        (
            {"family": "linear"},
            r"space.max_depth.*linear is tuned by C, imputation, scaling; received max_depth",
        ),
        ({"family": "decision_tree", "method": "hyperband"}, "hyperband goes by epochs"),
        ({"family": "decision_tree", "low": 0}, "expected a whole number from 1 to 100; received 0"),
        ({"family": "decision_tree", "low": 40}, "low must be below high"),
        ({"family": "decision_tree", "choices": [3]}, "expected low and high, or choices"),
    ],
)
def test_a_space_that_cannot_be_searched_is_located(settings, said, tmp_path):
    values = {"low": settings.pop("low", 1), "high": 30}
    if "choices" in settings:
        values["choices"] = settings.pop("choices")
    family = settings.pop("family")
    section = {"family": family, "tuning": {"space": {"max_depth": values}, **settings}}

    with pytest.raises(ContractError, match=said):
        write_project(tmp_path, training=section)


def test_a_family_of_scikit_learns_is_tuned_ends_what_is_worse_and_leaves_nothing(tmp_path, capsys):
    space = {"C": {"low": 1e-5, "high": 10, "scale": "log"}}
    section = {
        "family": "linear",
        "hyperparameters": {"C": 1e-6},
        "tuning": {"method": "random", "trials": 8, "space": space},
    }
    history = train_project(
        write_task_project(tmp_path, Task.BINARY_CLASSIFICATION, training=section), tmp_path
    )

    assert len(history.trials) == 9
    assert history.settings["C"] > 1e-4
    whole = [trial for trial in history.trials if not trial.reason]
    assert min(trial.loss for trial in whole) < history.trials[0].loss - 0.05
    assert any("surely worse" in trial.reason for trial in history.trials)
    assert not any((tmp_path / "home" / "tuning").iterdir())
    assert ", taken" in capsys.readouterr().out


def test_imputer_and_scaler_are_tuned_and_what_was_taken_is_in_the_bundle(tmp_path):
    space = {
        "imputation": {"choices": ["median", "most_frequent"]},
        "scaling": {"choices": ["min_max", "robust"]},
    }
    section = {"family": "nearest_neighbors", "folds": 2, "tuning": {"trials": 4, "space": space}}
    project = write_task_project(tmp_path, Task.BINARY_CLASSIFICATION, training=section)
    rows = read_rows(project.rows_path, "train", project.folder.dictionary)
    specification = specify_preprocessing(project.folder.dictionary)

    history = train_project(project, tmp_path)

    assert {tuple(sorted(trial.settings)) for trial in history.trials} == {(), ("imputation", "scaling")}
    losses = [trial.loss for trial in history.trials]
    assert len(set(losses)) > 2, "each is fitted anew"
    both = rows.joined(read_rows(project.rows_path, "validation", project.folder.dictionary))
    wanted = fit_transform(
        specification.adjusted(history.settings.get("imputation"), history.settings.get("scaling")),
        both.tensors,
    )
    assert FittedTransform.read(tmp_path / "bundle" / "transform.json") == wanted


def test_only_what_rows_fill_or_scale_is_filled_or_scaled_in_another_way():
    def column(name, missing, **more):
        return PreprocessingColumn(name, False, missing, None, (), **more)

    specification = PreprocessingSpecification(
        (
            column("filled", MissingPolicy.MEAN),
            column("refused", MissingPolicy.REJECT),
            column("constant", MissingPolicy.CONSTANT, scaling=Scaling.NONE),
            PreprocessingColumn("code", True, MissingPolicy.MOST_FREQUENT, None, ("a",)),
        )
    )

    adjusted = specification.adjusted("median", "robust").columns

    assert [one.missing for one in adjusted] == ["median", "reject", "constant", "most_frequent"]
    assert [one.scaling for one in adjusted] == ["robust", "robust", "none", "standard"]
    assert specification.adjusted(None, None) == specification


def test_there_are_no_more_processes_than_cores_and_folds():
    assert count_processes(4, cores=2, folds=5) == 2
    assert count_processes(4, cores=16, folds=3) == 3
    assert count_processes(4, cores=16, folds=5) == 4
    assert count_processes(1, cores=16, folds=5) == 1


def test_a_process_that_fits_folds_leaves_the_others_their_part_of_a_gpu(monkeypatch):
    grown = []
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [f"a {kind}"])
    monkeypatch.setattr(tf.config.experimental, "set_memory_growth", lambda *given: grown.append(given))
    # This process is to outlive its parent.
    monkeypatch.setattr(fold_workers, "_PR_SET_PDEATHSIG", 0)
    monkeypatch.setattr(fold_workers, "_job", None)

    fold_workers._begin(pickle.dumps("a job"))

    assert grown == [("a GPU", True)]


def test_a_search_is_taken_up_with_another_number_of_processes(tmp_path, monkeypatch):
    places = []

    def note(training, scoring, progress):
        places.append(progress.name)
        return tune(training, scoring, progress)

    monkeypatch.setattr(tuning, "tune", note)
    # One core, so that no process has to start here.
    monkeypatch.setattr(fold_workers.os, "sched_getaffinity", lambda pid: {0})
    for processes in (1, 3):
        space = {"C": {"choices": [0.1, 1.0]}}
        section = {"family": "linear", "tuning": {"trials": 1, "processes": processes, "space": space}}
        root = tmp_path / str(processes)
        train_project(write_task_project(root, Task.BINARY_CLASSIFICATION, training=section), root)

    assert places[0] == places[1]


def test_a_search_is_not_taken_up_with_other_code_of_the_projects_or_other_versions(tmp_path, monkeypatch):
    places = []

    def note(training, scoring, progress):
        places.append(progress.name)
        raise InputError("noted")

    monkeypatch.setattr(tuning, "tune", note)
    project = write_task_project(tmp_path, Task.BINARY_CLASSIFICATION)
    content = json.loads((project.path / "project.yaml").read_text())
    content["training"] = {
        "builder": "network:build_model",
        "tuning": {"trials": 1, "space": {"units": {"low": 1, "high": 4}}},
    }
    (project.path / "project.yaml").write_text(json.dumps(content))

    def search(code):
        (project.path / "network.py").write_text(code)
        with pytest.raises(InputError, match="noted"):
            train_project(project, tmp_path)
        return places[-1]

    first = search("# One.")
    assert search("# One.") == first
    assert search("# Another.") != first
    version = source_code.metadata.version
    monkeypatch.setattr(
        source_code.metadata, "version", lambda name: "0" if name == "keras-tuner" else version(name)
    )
    source_code.fingerprint_source.cache_clear()
    try:
        assert search("# One.") != first
    finally:
        source_code.fingerprint_source.cache_clear()
