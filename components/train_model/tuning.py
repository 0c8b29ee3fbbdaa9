"""Tuning: settings of one family, tried by cross-validation where each fold fits its own preprocessing.

KerasTuner proposes the settings, for a network and for scikit-learn's families alike. What each scored is
kept on the disk, so that a search that was killed goes on. A trial whose folds are surely worse than those of
the best so far ends early. No test row is read.

Source:
    Maron & Moore (1994), Hoeffding races: accelerating model selection search, NeurIPS (ending trials early,
    here by the paired differences); Li, Jamieson, DeSalvo, Rostamizadeh & Talwalkar (2018), Hyperband, JMLR
    18;
    Cawley & Talbot (2010), On over-fitting in model selection, JMLR 11 (why many trials deceive).
"""

from __future__ import annotations

import json
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner import errors as tuner_errors
from keras_tuner.engine.base_tuner import BaseTuner
from sklearn.exceptions import ConvergenceWarning

from components.train_model.comparison import divide, score_fold
from components.train_model.fold_workers import FoldWorkers
from components.train_model.learners import Learner
from mulgil.artifacts import TuningTrial, write_text
from mulgil.contract import Task
from mulgil.contract.learning import SEEDS, Training
from mulgil.contract.specifications import PreprocessingSpecification
from mulgil.contract.tuning import SearchRange, Tuning
from mulgil.errors import InputError
from mulgil.preprocessing.rows import TrainingRows

_TRIALS = "trials.json"
_DECLARED = "declared"
# Of which a difference is told from chance, in standard errors; fewer folds tell none.
_SURE, _LEAST_FOLDS = 2.0, 3
# What a search that was given up left behind goes after a week.
_KEPT_SECONDS = 7 * 24 * 3600.0


@dataclass(frozen=True)
class Tuned:
    """What a search found.

    Attributes:
        training: With the settings of the least loss.
        settings: They alone.
        trials: What was tried, that which `training` declares first.
        warning: Why the best loss is not to be trusted; empty where it may be.
    """

    training: Training
    settings: dict[str, Any]
    trials: tuple[TuningTrial, ...]
    warning: str


@dataclass(frozen=True)
class CrossValidation:
    """How a setting is scored.

    Attributes:
        learner_of: Gives the learner of a training's settings.
        task: The task.
        answer_width: How many numbers a model gives for a row.
        specification: How columns become numbers.
        rows: Rows to try on; no test row among them.
        workers: Processes that fit the folds; `None` where this one does.
    """

    learner_of: Callable[[Training], Learner]
    task: Task
    answer_width: int
    specification: PreprocessingSpecification
    rows: TrainingRows
    workers: FoldWorkers | None = None

    def score(self, training: Training, settings: dict[str, Any], best: TuningTrial | None) -> TuningTrial:
        """Score settings, for as long as they are not surely worse than the best.

        Raises:
            InputError: They cannot be fitted.
        """
        started = time.monotonic()
        losses: list[float] = []
        reason = ""
        for loss in self._score_folds(training):
            losses.append(loss)
            if best is not None and is_surely_worse(losses, best.losses):
                reason = f"surely worse than the best after {len(losses)} folds"
                break
        loss = float(np.mean(losses))
        if reason and best is not None and best.loss is not None:
            # As the folds that were left would have been alike harder or easier for both.
            loss = best.loss + float(np.mean(losses) - np.mean(best.losses[: len(losses)]))
        return TuningTrial(
            settings=settings,
            loss=loss,
            losses=tuple(losses),
            seconds=time.monotonic() - started,
            reason=reason,
        )

    def _score_folds(self, training: Training) -> Iterator[float]:
        folds = list(divide(self.task, training, self.rows))
        if self.workers is not None:
            yield from self.workers.score(training, len(folds))
            return
        learner = self.learner_of(training)
        for fold in folds:
            yield score_fold(
                learner, self.task, self.answer_width, self.specification, self.rows, fold, training
            )


def tune(training: Training, scoring: CrossValidation, place: Path) -> Tuned:
    """Search.

    Args:
        training: What is declared, and how it is searched.
        scoring: How settings are scored.
        place: Folder of this very search; what stands there is gone on from.

    Returns:
        The best settings, and all that were tried.

    Raises:
        PermanentError: A process that fits a fold was killed.
    """
    assert training.tuning is not None
    with warnings.catch_warnings():
        # KerasTuner's own calls of what Python renamed, and of a process that is fitted to few points.
        warnings.filterwarnings("ignore", category=DeprecationWarning, module="keras_tuner")
        warnings.filterwarnings("ignore", category=ConvergenceWarning)
        search = _Search(training, scoring, place)
        try:
            search.search()
        except tuner_errors.FatalTypeError as exc:
            # What KerasTuner let through is told as what it was.
            raise (exc.__cause__ or exc) from None
    trials = tuple(search.trials.values())
    best = min((trial for trial in trials if trial.loss is not None), key=lambda trial: trial.loss or 0.0)
    return Tuned(training.with_settings(best.settings), best.settings, trials, doubt_best(trials))


def forget(place: Path) -> None:
    """Remove a search's folder, as its training is over, and those that nobody came back for."""
    shutil.rmtree(place, ignore_errors=True)
    if place.parent.is_dir():
        for folder in place.parent.iterdir():
            if time.time() - folder.stat().st_mtime > _KEPT_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)


def is_surely_worse(losses: Sequence[float], best: Sequence[float]) -> bool:
    """Return whether losses are greater than the best's on the same folds by more than chance makes them."""
    if not _LEAST_FOLDS <= len(losses) < len(best):
        return False
    differences = np.subtract(losses, best[: len(losses)])
    error = differences.std(ddof=1) / np.sqrt(len(differences))
    return bool(differences.mean() > _SURE * error)


def doubt_best(trials: Sequence[TuningTrial]) -> str:
    """Say why the best trial's loss is not to be trusted; nothing where it may be.

    The least of so many losses that differ by chance alone lies below their mean by up to √(2 ln trials)
    standard errors. Where the gain over what was declared is no greater, it may be that and nothing else.
    """
    declared, *others = (trial for trial in trials if trial.loss is not None and not trial.reason)
    if not others:
        return ""
    best = min(others, key=lambda trial: trial.loss or 0.0)
    differences = np.subtract(declared.losses, best.losses)
    gain = float(differences.mean())
    error = float(differences.std(ddof=1) / np.sqrt(len(differences)))
    by_chance = error * float(np.sqrt(2 * np.log(len(trials))))
    if gain <= 0 or gain > by_chance:
        return ""
    return (
        f"the best of {len(trials)} settings has a cross-validated loss {gain:.4f} below that of those "
        f"declared, and the best of so many gains up to {by_chance:.4f} by chance alone: trust no score but "
        "that of the test rows"
    )


class _Search(BaseTuner):  # type: ignore[misc]
    """KerasTuner's loop around our scores."""

    def __init__(self, training: Training, scoring: CrossValidation, place: Path) -> None:
        assert training.tuning is not None
        self._training, self._tuning, self._scoring = training, training.tuning, scoring
        self._begun = time.monotonic()
        self._file = place / _TRIALS
        self.trials: dict[str, TuningTrial] = {}
        self._known: dict[str, TuningTrial] = {}
        if self._file.exists():
            self._known = {
                name: TuningTrial.model_validate(trial)
                for name, trial in json.loads(self._file.read_text("utf-8")).items()
            }
            print(f"Taken up after {len(self._known)} settings")
        oracle = _make_oracle(training, self._tuning)
        oracle.verbose = 0
        # What is declared is tried besides.
        oracle.max_trials = self._tuning.trials
        # It proposes the same again where it hears the same scores, and those are kept. Its own files are not
        # written whole or not at all, so that what is killed may leave one that nobody can read.
        super().__init__(oracle, directory=str(place), project_name="search", overwrite=True)

    def on_search_begin(self) -> None:
        """Score what is declared, which everything is held against."""
        self._keep(_DECLARED, self._recall(_DECLARED, {}) or self._scoring.score(self._training, {}, None))

    def run_trial(self, trial: Any) -> float:
        """Score what the oracle proposes."""
        settings = {
            name: json.loads(value) if self._tuning.space[name].choices else value
            for name, value in trial.hyperparameters.values.items()
            if name in self._tuning.space
        }
        tried = self._training.with_settings(settings)
        epochs = trial.hyperparameters.values.get("tuner/epochs")
        if epochs:
            tried = tried.model_copy(update={"max_epochs": int(epochs)})
        # Of a few epochs nobody is worse for good.
        best = None if epochs else self._best
        known = self._recall(trial.trial_id, settings)
        try:
            if known is not None and known.loss is None:
                raise InputError(known.reason)
            scored = known or self._scoring.score(tried, settings, best)
        except InputError as exc:
            self._keep(trial.trial_id, TuningTrial(settings=settings, reason=str(exc).splitlines()[0]))
            # As bad as the worst: of an error KerasTuner prints a traceback, and infinity it cannot take.
            return max(one.loss for one in self.trials.values() if one.loss is not None)
        except Exception as exc:
            # KerasTuner would go on after any mistake of ours.
            raise tuner_errors.FatalTypeError(str(exc)) from exc
        self._keep(trial.trial_id, scored)
        assert scored.loss is not None
        return scored.loss

    def on_trial_end(self, trial: Any) -> None:
        """End a trial, and with it the search where the time is over."""
        super().on_trial_end(trial)
        if time.monotonic() - self._begun > self._tuning.time_budget_seconds:
            self.oracle.max_trials = len(self.oracle.trials)

    @property
    def _best(self) -> TuningTrial | None:
        whole = [trial for trial in self.trials.values() if trial.loss is not None and not trial.reason]
        return min(whole, key=lambda trial: trial.loss or 0.0) if whole else None

    def _recall(self, name: str, settings: dict[str, Any]) -> TuningTrial | None:
        """Return what a search before this one found for these very settings."""
        known = self._known.get(name)
        return known if known is not None and known.settings == settings else None

    def _keep(self, name: str, trial: TuningTrial) -> None:
        self.trials[name] = trial
        content = {one: tried.model_dump(mode="json") for one, tried in (self._known | self.trials).items()}
        write_text(self._file, json.dumps(content) + "\n")


def _make_oracle(training: Training, tuning: Tuning) -> Any:
    space = keras_tuner.HyperParameters()
    for name, values in tuning.space.items():
        _declare(space, name, values, is_whole=training.is_whole(name))
    given = {
        "objective": keras_tuner.Objective("loss", "min"),
        "hyperparameters": space,
        # Of zero it would draw one.
        "seed": training.seed % (SEEDS - 1) + 1,
        "allow_new_entries": False,
    }
    if tuning.method == "hyperband":
        return keras_tuner.oracles.HyperbandOracle(max_epochs=training.max_epochs, **given)
    kind = {
        "random": keras_tuner.oracles.RandomSearchOracle,
        "bayesian": keras_tuner.oracles.BayesianOptimizationOracle,
    }[tuning.method]
    return kind(max_trials=tuning.trials, **given)


def _declare(space: Any, name: str, values: SearchRange, *, is_whole: bool) -> None:
    if values.choices:
        # A list is no value of KerasTuner's.
        space.Choice(name, [json.dumps(choice) for choice in values.choices])
    elif is_whole:
        assert values.low is not None
        assert values.high is not None
        space.Int(name, int(values.low), int(values.high), sampling=values.scale)
    else:
        space.Float(name, values.low, values.high, sampling=values.scale)
