"""Which outputs of a step stand already: from before the run was resumed, or from the cache."""

from __future__ import annotations

from dataclasses import dataclass

from mulgil.artifacts import write_text
from mulgil.local.cache.keys import key_of
from mulgil.local.cache.output_store import OutputStore
from mulgil.local.cache.step_key import StepKey
from mulgil.local.results import Values
from mulgil.local.step import Step
from mulgil.local.step_outputs import read_outputs
from mulgil.local.task_folder import TaskFolder


@dataclass(frozen=True)
class Reused:
    """Outputs that stand already.

    Attributes:
        outputs: The outputs.
        is_of_this_run: Whether the run itself had finished the step before it was resumed.
    """

    outputs: Values
    is_of_this_run: bool


class StepReuse:
    """Finds and keeps the outputs of steps.

    Args:
        run_id: The run.
        store: The cache.
        is_cache_read: Whether outputs of other runs are taken.
    """

    def __init__(self, run_id: str, store: OutputStore, *, is_cache_read: bool) -> None:
        self._run_id = run_id
        self._store = store
        self._is_cache_read = is_cache_read
        self._keys: dict[str, StepKey | None] = {}

    def find(self, step: Step, folder: TaskFolder) -> Reused | None:
        """Return a step's outputs where they stand already, placed in its folder; `None` where it must run.

        Raises:
            InputError: The step's project cannot be read.
        """
        finished = folder.read_finished()
        if finished is not None:
            return Reused(finished, is_of_this_run=True)
        # Before it runs: code that is edited meanwhile is not what made the outputs.
        key = self._keys[step.path] = key_of(step, self._run_id)
        if not self._is_cache_read or not step.task.caching_options.enable_cache:
            return None
        if key is None or not self._store.has(key):
            return None
        folder.begin()
        self._store.restore(key, folder.path)
        outputs = read_outputs(step, folder)
        write_text(
            folder.log, f"Nothing was run: an earlier run had equal inputs ({key.fingerprint[:12]}).\n"
        )
        folder.finish(outputs)
        return Reused(outputs, is_of_this_run=False)

    def keep(self, step: Step, folder: TaskFolder, outputs: Values) -> None:
        """Keep what a step gave, for this run's resumption and for others.

        A step that is never cached is kept too: what it gave last is what a plan expects of it.
        """
        key = self._keys[step.path]
        if key is not None:
            self._store.keep(key, folder.path)
        folder.finish(outputs)
