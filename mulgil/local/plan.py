"""What a run would do, without doing it: the same graph, with each step foretold from the cache."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from mulgil.errors import NotReconciledError, PermanentError
from mulgil.local.cache.keys import FingerprintEnvironment, key_of
from mulgil.local.cache.output_store import OutputStore
from mulgil.local.cache.step_key import explain_difference
from mulgil.local.environments import fingerprint_lock
from mulgil.local.graph import GraphRunner
from mulgil.local.graph_spec import RetryPolicy
from mulgil.local.inputs import Run
from mulgil.local.journal import Journal
from mulgil.local.parameters import bind_parameters
from mulgil.local.pipeline_spec import PipelineSpec
from mulgil.local.results import TaskResult, Values
from mulgil.local.reuse import check_reuse
from mulgil.local.run_store import State, TaskRecord
from mulgil.local.step import Step
from mulgil.local.step_outputs import read_outputs
from mulgil.local.task_folder import TaskFolder

# Stands for the run that there is not.
_RUN = Run("plan", "1970-01-01T00:00:00Z")


class Action(StrEnum):
    """What would become of a step."""

    RUN = "run"
    CACHED = "cached"
    RECONCILE = "reconcile"
    SKIP = "skip"


@dataclass(frozen=True)
class PlannedStep:
    """A step, as a run would treat it.

    Attributes:
        task: Its path.
        action: What would become of it. A step that acts on a store outside the run is reconciled: run,
            unless its store is seen to be as it left it.
        reasons: Why, one a line.
        is_run: Whether it would be run.
    """

    task: str
    action: Action
    reasons: tuple[str, ...]
    is_run: bool


def plan_run(
    pipeline: PipelineSpec,
    parameters: Mapping[str, Any],
    store: OutputStore,
    folder: Path,
    fingerprint_environment: FingerprintEnvironment = fingerprint_lock,
) -> list[PlannedStep]:
    """Foretell what a run would do.

    Args:
        pipeline: The pipeline.
        parameters: Its parameters.
        store: The cache.
        folder: An empty folder for what the foretelling needs; it may be deleted afterwards.
        fingerprint_environment: Of an image, a hash of all that a step in it finds there.

    Raises:
        InputError: A parameter is unknown, missing or of the wrong type, or a project is wrong.
    """
    root = pipeline.root
    if root.dag is None:
        raise PermanentError("The pipeline's root is not a graph.")
    planned: dict[str, PlannedStep] = {}

    def observe(record: TaskRecord) -> None:
        if record.state is State.BLOCKED:
            # Of a graph, its steps; those of a loop are not known before.
            within = [path for path in pipeline.task_names if path.startswith(f"{record.task}/")]
            for path in within or [record.task]:
                planned[path] = PlannedStep(
                    path, Action.RUN, ("its inputs come from a step that runs",), is_run=True
                )
        elif record.state is State.SKIPPED:
            reasons = ("its condition is false",)
            planned[record.task] = PlannedStep(record.task, Action.SKIP, reasons, is_run=False)

    journal = Journal(_RUN.run_id, observe)
    values = Values(bind_parameters(root.input_definitions, parameters))
    foreteller = _Foreteller(store, folder, planned, fingerprint_environment)
    graphs = GraphRunner(pipeline, _RUN, folder, foreteller, journal)
    asyncio.run(graphs.run(root.dag, values, "", RetryPolicy()))
    return list(planned.values())


class _Foreteller:
    """Takes a step's result from the cache; a step that would run fails, which blocks what follows it."""

    def __init__(
        self,
        store: OutputStore,
        folder: Path,
        planned: dict[str, PlannedStep],
        fingerprint_environment: FingerprintEnvironment,
    ) -> None:
        self._store = store
        self._folder = folder
        self._planned = planned
        self._fingerprint_environment = fingerprint_environment

    async def run(self, step: Step) -> TaskResult:
        """Foretell a step."""
        is_cached = step.task.caching_options.enable_cache
        action = Action.RUN if is_cached else Action.RECONCILE
        key = key_of(step, _RUN.run_id, self._fingerprint_environment)
        if key is None:
            return self._note(step, action, ("not all that it reads can be known before",))
        folder = TaskFolder(self._folder, step.path)
        folder.begin()
        if not self._store.has(key) or not self._store.restore(key, folder.path, is_use=False):
            before = self._store.find_nearest(key)
            reasons = explain_difference(before, key) if before else ["it has never run"]
            return self._note(step, action, tuple(reasons))
        outputs = read_outputs(step, folder)
        try:
            check_reuse(step, key, self._store)
        except NotReconciledError as exc:
            noted = self._note(step, action, (f"its inputs did not change; {exc}",))
            if is_cached:
                return noted
        else:
            store = "" if is_cached else ", and its store is as it left it: nothing to do"
            reason = f"nothing that it depends on changed{store}"
            self._note(step, Action.CACHED if is_cached else action, (reason,), is_run=False)
        return TaskResult(State.SUCCEEDED, outputs=outputs)

    def _note(
        self, step: Step, action: Action, reasons: tuple[str, ...], *, is_run: bool = True
    ) -> TaskResult:
        self._planned[step.path] = PlannedStep(step.path, action, reasons, is_run)
        return TaskResult(State.FAILED, failed=(step.path,))
