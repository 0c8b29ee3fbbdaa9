"""Tuning: settings of one family, tried by cross-validation where each fold fits its own preprocessing.

KerasTuner proposes the settings, for a network and for scikit-learn's families alike. What each scored is
kept, so that a search that was killed goes on. A trial whose folds are surely worse than those of the best so
far ends early. No test row is read.

Settings that are proposed at once are fitted side by side, and judged one after the other in the order in
which they were proposed: so what is tried, ended early and taken does not depend on which is ready first.

Source:
    Maron & Moore (1994), Hoeffding races: accelerating model selection search, NeurIPS (ending trials early,
    here by the paired differences); Li, Jamieson, DeSalvo, Rostamizadeh & Talwalkar (2018), Hyperband, JMLR
    18;
    Cawley & Talbot (2010), On over-fitting in model selection, JMLR 11 (why many trials deceive).
"""

from __future__ import annotations

import json
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import keras_tuner
import numpy as np
from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.engine.trial import TrialStatus
from sklearn.exceptions import ConvergenceWarning

from components.train_model.comparison import divide, score_fold
from components.train_model.fold_workers import BegunFolds, FoldWorkers
from components.train_model.learners import Learner
from components.train_model.progress import ProgressPlace
from mulgil.artifacts import TuningTrial
from mulgil.contract import Task
from mulgil.contract.learning import SEEDS, Training
from mulgil.contract.specifications import PreprocessingSpecification
from mulgil.contract.tuning import SearchRange, Tuning
from mulgil.errors import InputError
from mulgil.preprocessing.rows import TrainingRows

_DECLARED = "declared"
# Of which a difference is told from chance, in standard errors; fewer folds tell none.
_SURE, _LEAST_FOLDS = 2.0, 3


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

    def begin(self, training: Training) -> BegunFolds:
        """Begin to fit a setting's folds where other processes do; here each is fitted when it is asked for.

        Raises:
            InputError: The rows cannot be divided.
            PermanentError: A process that fits a fold was killed.
        """
        if self.workers is not None:
            return self.workers.begin(training, sum(1 for _ in divide(self.task, training, self.rows)))
        return BegunFolds(self._score_folds(training))

    def score(self, begun: BegunFolds, settings: dict[str, Any], best: TuningTrial | None) -> TuningTrial:
        """Score settings, for as long as they are not surely worse than the best.

        Raises:
            InputError: They cannot be fitted.
        """
        seconds = 0.0
        losses: list[float] = []
        reason = ""
        try:
            for loss, taken in begun.losses:
                losses.append(loss)
                seconds += taken
                if best is not None and is_surely_worse(losses, best.losses):
                    reason = f"surely worse than the best after {len(losses)} folds"
                    break
        finally:
            begun.cancel()
        loss = float(np.mean(losses))
        if reason and best is not None and best.loss is not None:
            # As the folds that were left would have been alike harder or easier for both.
            loss = best.loss + float(np.mean(losses) - np.mean(best.losses[: len(losses)]))
        return TuningTrial(settings=settings, loss=loss, losses=tuple(losses), seconds=seconds, reason=reason)

    def _score_folds(self, training: Training) -> Iterator[tuple[float, float]]:
        learner = self.learner_of(training)
        # Not before it is asked for: the places of the rows of a thousand settings are gigabytes.
        for fold in divide(self.task, training, self.rows):
            started = time.monotonic()
            loss = score_fold(
                learner, self.task, self.answer_width, self.specification, self.rows, fold, training
            )
            yield loss, time.monotonic() - started


@dataclass(frozen=True)
class Progress:
    """What a search has scored so far, kept so that one which was killed goes on.

    Attributes:
        place: Of all searches on this platform.
        name: Of this very one.
    """

    place: ProgressPlace
    name: str

    def read(self) -> dict[str, TuningTrial]:
        """Return the trials by name; none where there is nothing that can be read."""
        found = self.place.read(self.name)
        if found is None:
            return {}
        with found:
            try:
                return {name: TuningTrial.model_validate(one) for name, one in json.load(found).items()}
            except (OSError, ValueError, AttributeError):
                return {}

    def keep(self, trials: Mapping[str, TuningTrial]) -> None:
        """Keep the trials."""
        content = json.dumps({name: trial.model_dump(mode="json") for name, trial in trials.items()})

        def write(file: BinaryIO) -> None:
            file.write(f"{content}\n".encode())

        self.place.keep(self.name, write)

    def forget(self) -> None:
        """Remove them, as the training is over, and those that nobody came back for."""
        self.place.forget(self.name)
        self.place.tidy()


def tune(training: Training, scoring: CrossValidation, progress: Progress) -> Tuned:
    """Search.

    Args:
        training: What is declared, and how it is searched.
        scoring: How settings are scored.
        progress: Of this very search; it goes on from there.

    Returns:
        The best settings, and all that were tried.

    Raises:
        PermanentError: A process that fits a fold was killed.
    """
    assert training.tuning is not None
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as scratch:
        # KerasTuner's own calls of what Python renamed, and of a process that is fitted to few points.
        warnings.filterwarnings("ignore", category=DeprecationWarning, module="keras_tuner")
        warnings.filterwarnings("ignore", category=ConvergenceWarning)
        search = _Search(training, scoring, progress, scratch)
        search.search()
    trials = tuple(search.trials.values())
    best = min((trial for trial in trials if trial.loss is not None), key=lambda trial: trial.loss or 0.0)
    return Tuned(training.with_settings(best.settings), best.settings, trials, doubt_best(trials))


def count_at_once(tuning: Tuning) -> int:
    """Return how many settings are proposed before it is known how the first of them did.

    What is drawn does not depend on that, and all of it is proposed at once.
    """
    return tuning.trials if tuning.method == "random" else tuning.proposed_at_once


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


@dataclass(frozen=True)
class _Proposal:
    """A setting that is being tried.

    Attributes:
        trial: KerasTuner's.
        settings: What is tried.
        is_whole: Whether it is fitted for as many epochs as what is declared.
        known: What a search before this one found for it.
        begun: Its folds; `None` where it is known.
    """

    trial: Any
    settings: dict[str, Any]
    is_whole: bool
    known: TuningTrial | None
    begun: BegunFolds | None


class _Search(BaseTuner):  # type: ignore[misc]
    """KerasTuner's proposals, and our scores."""

    def __init__(
        self, training: Training, scoring: CrossValidation, progress: Progress, scratch: str
    ) -> None:
        assert training.tuning is not None
        self._training, self._tuning, self._scoring = training, training.tuning, scoring
        self._progress = progress
        self._begun = time.monotonic()
        self.trials: dict[str, TuningTrial] = {}
        self._known = progress.read()
        if self._known:
            print(f"Taken up after {len(self._known)} settings")
        oracle = _make_oracle(training, self._tuning)
        oracle.verbose = 0
        # What is declared is tried besides.
        oracle.max_trials = self._tuning.trials
        # It proposes the same again where it hears the same scores, and those are kept; its files are not.
        super().__init__(oracle, directory=scratch, project_name="search", overwrite=True)

    def search(self) -> None:
        """Score what is declared, which everything is held against, and then what is proposed.

        In place of KerasTuner's loop, which knows one setting at a time, and goes on after a mistake of ours.
        """
        declared = self._recall(_DECLARED, {})
        if declared is None:
            declared = self._scoring.score(self._scoring.begin(self._training), {}, None)
        self._keep(_DECLARED, declared)
        waiting: list[_Proposal] = []
        try:
            while waiting or (waiting := self._propose()):
                self._end(waiting.pop(0))
                if time.monotonic() - self._begun > self._tuning.time_budget_seconds:
                    return
        finally:
            for proposal in waiting:
                if proposal.begun is not None:
                    proposal.begun.cancel()

    def _propose(self) -> list[_Proposal]:
        """Have settings proposed, and begin to fit them; none where there are no more."""
        proposals: list[_Proposal] = []
        for place in range(count_at_once(self._tuning)):
            # By a name of its own, as under the same one the oracle gives the same setting again.
            trial = self.oracle.create_trial(f"{place}")
            if trial.status != TrialStatus.RUNNING:
                break
            proposals.append(self._start(trial))
        return proposals

    def _start(self, trial: Any) -> _Proposal:
        settings = {
            name: json.loads(value) if self._tuning.space[name].choices else value
            for name, value in trial.hyperparameters.values.items()
            if name in self._tuning.space
        }
        tried = self._training.with_settings(settings)
        epochs = trial.hyperparameters.values.get("tuner/epochs")
        if epochs:
            tried = tried.model_copy(update={"max_epochs": int(epochs)})
        known = self._recall(trial.trial_id, settings)
        begun = None if known is not None else self._scoring.begin(tried)
        return _Proposal(trial, settings, not epochs, known, begun)

    def _end(self, proposal: _Proposal) -> None:
        """Score a setting, and let KerasTuner hear of it."""
        scored = proposal.known
        if proposal.begun is not None:
            # Of a few epochs nobody is worse for good.
            best = self._best if proposal.is_whole else None
            try:
                scored = self._scoring.score(proposal.begun, proposal.settings, best)
            except InputError as exc:
                scored = TuningTrial(settings=proposal.settings, reason=str(exc).splitlines()[0])
        assert scored is not None
        trial = proposal.trial
        self._keep(trial.trial_id, scored)
        # What cannot be fitted is as bad as the worst, for infinity KerasTuner cannot take.
        worst = max(one.loss for one in self.trials.values() if one.loss is not None)
        self.oracle.update_trial(trial.trial_id, {"loss": worst if scored.loss is None else scored.loss})
        trial.status = TrialStatus.COMPLETED
        self.oracle.end_trial(trial)

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
        self._progress.keep(self._known | self.trials)


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
