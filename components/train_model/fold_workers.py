"""The folds of several settings in several processes: each fold's loss is what it is in one.

A process takes a fold at a time, in the order of the settings and of their folds, and the losses are looked
at in that order. So where the first folds of a setting end its trial early, the rest is thrown away, and the
search is the same however many processes there are.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pickle
import signal
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

from components.tensorflow_startup import start_tensorflow
from mulgil.errors import PermanentError, describe

if TYPE_CHECKING:
    # Not at run time: a process imports TensorFlow in silence, and that before them.
    from components.train_model.checkpoints import Checkpoints
    from components.train_model.progress import ProgressPlace
    from mulgil.contract import ProjectFolder, Task
    from mulgil.contract.learning import Family, Training
    from mulgil.contract.specifications import PreprocessingSpecification
    from mulgil.preprocessing.rows import TrainingRows

_PR_SET_PDEATHSIG = 1

# A fold's loss, the seconds that it took, and the names of the checkpoints that are left of it.
ScoredFold = tuple[float, float, list[str]]


@dataclass(frozen=True)
class FoldJob:
    """What all folds of a search have in common.

    Attributes:
        family: The kind of model.
        folder: The project.
        checkpoints: Where fits leave how far they have come.
        task: The task.
        answer_width: How many numbers a model gives for a row.
        specification: How columns become numbers.
        rows: Rows to try on.
    """

    family: Family
    folder: ProjectFolder
    checkpoints: ProgressPlace
    task: Task
    answer_width: int
    specification: PreprocessingSpecification
    rows: TrainingRows


class FoldWorkers:
    """Processes that fit folds."""

    def __init__(self, pool: ProcessPoolExecutor, count: int, checkpoints: Checkpoints) -> None:
        self.count = count
        self._pool = pool
        self._checkpoints = checkpoints

    def begin(self, training: Training, folds: int) -> BegunFolds:
        """Have the folds of a setting fitted, behind those that were begun before.

        Raises:
            PermanentError: A process was killed.
        """
        with self._told_of_kills():
            begun = [self._pool.submit(_score_fold, training, place) for place in range(folds)]
        for one in begun:
            # Those too whose loss nobody asks for any more.
            one.add_done_callback(self._adopt)
        return BegunFolds(self._results(begun), begun)

    def _results(self, begun: Sequence[Future[ScoredFold]]) -> Iterator[tuple[float, float]]:
        with self._told_of_kills():
            for one in begun:
                yield one.result()[:2]

    def _adopt(self, done: Future[ScoredFold]) -> None:
        if not done.cancelled() and done.exception() is None:
            self._checkpoints.adopt(done.result()[2])

    @contextlib.contextmanager
    def _told_of_kills(self) -> Iterator[None]:
        try:
            yield
        except BrokenProcessPool as exc:
            raise PermanentError(
                describe(
                    "A process that fits a fold was killed",
                    expected=f"memory for {self.count} models and their rows at once",
                    next_step="give training.tuning.processes a lower number",
                )
            ) from exc


@dataclass(frozen=True)
class BegunFolds:
    """The folds of a setting, some of them fitted, some not yet.

    Attributes:
        losses: Each one's loss and the seconds that it took, in order.
        futures: What fits them in other processes; none where asking for a loss fits its fold.
    """

    losses: Iterator[tuple[float, float]]
    futures: Sequence[Future[ScoredFold]] = ()

    def cancel(self) -> None:
        """Leave out what is not begun yet."""
        for one in self.futures:
            one.cancel()


@contextlib.contextmanager
def open_workers(
    job: FoldJob, checkpoints: Checkpoints, asked: int, folds: int
) -> Iterator[FoldWorkers | None]:
    """Start processes, no more than there are cores and folds at once; `None` where one is enough.

    Args:
        job: What they fit.
        checkpoints: Those of this training.
        asked: How many are wanted.
        folds: Of all settings that are tried side by side.
    """
    count = count_processes(asked, len(os.sched_getaffinity(0)), folds)
    if count == 1:
        yield None
        return
    # Not forked: TensorFlow's threads would be missing in the copy.
    pool = ProcessPoolExecutor(
        count, mp_context=get_context("spawn"), initializer=_begin, initargs=(pickle.dumps(job),)
    )
    try:
        yield FoldWorkers(pool, count, checkpoints)
    finally:
        pool.shutdown(cancel_futures=True)


def count_processes(asked: int, cores: int, folds: int) -> int:
    """Return how many processes there are."""
    return max(1, min(asked, cores, folds))


# Of a process that fits: set once, before its first fold.
_job: Any = None


def _begin(job: bytes) -> None:
    global _job
    # A search that is killed leaves nobody behind.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    start_tensorflow()
    from components.train_model.devices import share_gpus

    share_gpus()
    _job = pickle.loads(job)  # noqa: S301 - from the process that started this one


def _score_fold(training: Training, place: int) -> ScoredFold:
    from components.train_model.checkpoints import Checkpoints
    from components.train_model.comparison import divide, score_fold
    from components.train_model.families import make_learner, with_training

    started = time.monotonic()
    checkpoints = Checkpoints(_job.checkpoints)
    learner = make_learner(_job.family, with_training(_job.folder, training), checkpoints)
    fold = list(divide(_job.task, training, _job.rows))[place]
    loss = score_fold(learner, _job.task, _job.answer_width, _job.specification, _job.rows, fold, training)
    return loss, time.monotonic() - started, checkpoints.used
