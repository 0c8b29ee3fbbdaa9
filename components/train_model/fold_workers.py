"""The folds of a setting in several processes: each fold's loss is what it is in one.

A process takes a fold at a time, and the losses come back in the order of the folds. So where the first of
them end a trial early, the rest is thrown away, and the search is the same however many processes there are.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pickle
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.tensorflow_startup import start_tensorflow
from mulgil.errors import PermanentError, describe

if TYPE_CHECKING:
    # Not at run time: a process imports TensorFlow in silence, and that before them.
    from components.train_model.checkpoints import Checkpoints
    from mulgil.contract import ProjectFolder, Task
    from mulgil.contract.learning import Family, Training
    from mulgil.contract.specifications import PreprocessingSpecification
    from mulgil.preprocessing.rows import TrainingRows

_PR_SET_PDEATHSIG = 1


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
    checkpoints: Path
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

    def score(self, training: Training, folds: int) -> Iterator[float]:
        """Give the loss of each fold in order; those that nobody asks for any more are not begun.

        Raises:
            InputError: A fold cannot be fitted.
            PermanentError: A process was killed.
        """
        begun = [self._pool.submit(_score_fold, training, place) for place in range(folds)]
        try:
            for one in begun:
                loss, checkpoints = one.result()
                self._checkpoints.adopt(checkpoints)
                yield loss
        except BrokenProcessPool as exc:
            raise PermanentError(
                describe(
                    "A process that fits a fold was killed",
                    expected=f"memory for {self.count} models and their rows at once",
                    next_step="give training.tuning.processes a lower number",
                )
            ) from exc
        finally:
            for one in begun:
                one.cancel()


@contextlib.contextmanager
def open_workers(job: FoldJob, checkpoints: Checkpoints, asked: int) -> Iterator[FoldWorkers | None]:
    """Start processes, no more than there are cores and folds; `None` where one is enough.

    Args:
        job: What they fit.
        checkpoints: Those of this training.
        asked: How many are wanted.
    """
    count = count_processes(asked, len(os.sched_getaffinity(0)), job.folder.project.training.folds)
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


def _score_fold(training: Training, place: int) -> tuple[float, list[Path]]:
    from components.train_model.checkpoints import Checkpoints
    from components.train_model.comparison import divide, score_fold
    from components.train_model.families import make_learner, with_training

    checkpoints = Checkpoints(_job.checkpoints)
    learner = make_learner(_job.family, with_training(_job.folder, training), checkpoints)
    fold = list(divide(_job.task, training, _job.rows))[place]
    loss = score_fold(learner, _job.task, _job.answer_width, _job.specification, _job.rows, fold, training)
    return loss, checkpoints.used
