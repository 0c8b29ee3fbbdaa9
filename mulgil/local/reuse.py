"""Which outputs of a step stand already: from before the run was resumed, or from the cache.

The outputs of a step that acts on a store outside the run are taken where that store is as the step left it.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from mulgil.artifacts import write_text
from mulgil.errors import NotReconciledError
from mulgil.local.cache.expiry import require_unexpired
from mulgil.local.cache.keys import FingerprintEnvironment, key_of
from mulgil.local.cache.output_store import OutputStore
from mulgil.local.cache.standing import Facts, compare, observe
from mulgil.local.cache.step_key import StepKey
from mulgil.local.environments import fingerprint_lock
from mulgil.local.results import Values
from mulgil.local.run_store import State
from mulgil.local.step import Step
from mulgil.local.step_outputs import read_outputs
from mulgil.local.task_folder import TaskFolder


@dataclass(frozen=True)
class Reused:
    """Outputs that stand already.

    Attributes:
        outputs: The outputs.
        state: Where they are from: `cached`, `reconciled`, or `None` where the run itself had finished the
            step before it was resumed.
    """

    outputs: Values
    state: State | None


def check_reuse(step: Step, key: StepKey, store: OutputStore) -> None:
    """Tell whether the kept outputs of a step can be taken, where there are any.

    Args:
        step: The step.
        key: What its outputs depend on; the store has them.
        store: The cache.

    Raises:
        NotReconciledError: The step must run, for the reason given.
    """
    try:
        outputs = store.artifacts_of(key)
    except FileNotFoundError as exc:
        raise NotReconciledError("its outputs are not kept any longer") from exc
    if step.task.caching_options.enable_cache:
        require_unexpired(step, outputs)
        return
    compare(store.read_facts(key), observe(step, outputs))


class StepReuse:
    """Finds and keeps the outputs of steps.

    Args:
        run_id: The run.
        store: The cache.
        is_cache_read: Whether outputs of other runs are taken.
        fingerprint_environment: Of an image, a hash of all that a step in it finds there.
    """

    def __init__(
        self,
        run_id: str,
        store: OutputStore,
        *,
        is_cache_read: bool,
        fingerprint_environment: FingerprintEnvironment = fingerprint_lock,
    ) -> None:
        self._run_id = run_id
        self._store = store
        self._is_cache_read = is_cache_read
        self._fingerprint_environment = fingerprint_environment
        self._keys: dict[str, StepKey | None] = {}

    def find(self, step: Step, folder: TaskFolder) -> Reused | None:
        """Return a step's outputs where they stand already, placed in its folder; `None` where it must run.

        Raises:
            InputError: The step's project cannot be read.
        """
        finished = folder.read_finished()
        if finished is not None:
            return Reused(finished, None)
        # Before it runs: code that is edited meanwhile is not what made the outputs.
        key = self._keys[step.path] = key_of(step, self._run_id, self._fingerprint_environment)
        if not self._is_cache_read or key is None or not self._store.has(key):
            return None
        try:
            check_reuse(step, key, self._store)
        except NotReconciledError:
            return None
        folder.begin()
        if not self._store.restore(key, folder.path):
            return None
        outputs = read_outputs(step, folder)
        is_cached = step.task.caching_options.enable_cache
        store = "" if is_cached else ", and the store that it acts on is as it left it"
        write_text(
            folder.log,
            f"Nothing was run: an earlier run had equal inputs ({key.fingerprint[:12]}){store}.\n",
        )
        folder.finish(outputs)
        return Reused(outputs, State.CACHED if is_cached else State.RECONCILED)

    def keep(self, step: Step, folder: TaskFolder, outputs: Values) -> None:
        """Keep what a step gave, for this run's resumption and for others.

        A step that is never cached is kept too: what it gave last is what a plan expects of it.
        """
        key = self._keys[step.path]
        if key is not None:
            self._store.keep(key, folder.path, _facts_of(step, outputs))
        folder.finish(outputs)


def _facts_of(step: Step, outputs: Values) -> Facts | None:
    if step.task.caching_options.enable_cache:
        return None
    with contextlib.suppress(NotReconciledError):
        return observe(step, outputs.artifacts)
    return None
