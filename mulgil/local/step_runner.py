"""Runs a step: a container's command with its attempts, from its inputs to its outputs.

Each attempt begins with clean outputs, and its log is kept.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from mulgil.errors import MulgilError
from mulgil.local.inputs import Run
from mulgil.local.journal import Journal
from mulgil.local.launcher import Launcher
from mulgil.local.machine import Machine
from mulgil.local.placeholders import TaskContext
from mulgil.local.resources import Demand, read_demand
from mulgil.local.results import TaskResult, Values
from mulgil.local.retry import wait_before_retry
from mulgil.local.reuse import StepReuse
from mulgil.local.run_store import State, TaskRecord
from mulgil.local.step import Step
from mulgil.local.step_outputs import read_outputs
from mulgil.local.task_folder import TaskFolder


class StepRunner:
    """Runs the steps of one run.

    Args:
        run: The run.
        folder: The run's folder; each step gets one below it.
        machine: Whose cores and memory the steps share.
        journal: Told of each attempt.
        reuse: Knows the outputs that stand already.
        launcher: Starts their commands.
    """

    def __init__(
        self,
        run: Run,
        folder: Path,
        machine: Machine,
        journal: Journal,
        reuse: StepReuse,
        launcher: Launcher,
    ) -> None:
        self._run = run
        self._folder = folder
        self._machine = machine
        self._journal = journal
        self._reuse = reuse
        self._launcher = launcher

    async def run(self, step: Step) -> TaskResult:
        """Run a step to its end, as often as its retry policy says.

        Raises:
            MulgilError: It cannot start: it requests more than there is, or a placeholder stands for nothing.
        """
        try:
            return await self._run_or_reuse(step)
        finally:
            await self._launcher.forget(step.container.image)

    async def _run_or_reuse(self, step: Step) -> TaskResult:
        folder = TaskFolder(self._folder, step.path)
        reused = self._reuse.find(step, folder)
        if reused is not None:
            result = TaskResult(State.SUCCEEDED, outputs=reused.outputs)
            if reused.state is None:
                return self._journal.keep(step.path, result)
            return self._journal.tell_reuse(step.path, step.task, reused.state, result)
        context = context_of(step, self._run, folder)
        demand = read_demand(step.container.resources, context)
        folder.begin()
        number = 1
        first_start = deadline = None
        while True:
            async with self._machine.reserve(demand):
                attempt = self._journal.tell_start(step.path, step.task, number)
                result = await self._attempt(step, attempt, folder, context, demand, deadline)
            first_start = first_start or attempt.started_at
            wait = wait_before_retry(step.retry_policy, number, time.time() - first_start)
            if result.state is State.SUCCEEDED:
                self._reuse.keep(step, folder, result.outputs)
            if result.state is State.SUCCEEDED or wait is None:
                return self._journal.tell_end(attempt, result)
            self._journal.tell_retry(attempt, result)
            await asyncio.sleep(wait)
            folder.begin_again(number)
            number += 1
            # Argo ends a retry that outlasts the policy; the first attempt has no limit.
            deadline = first_start + step.retry_policy.backoff_max_duration

    async def _attempt(
        self,
        step: Step,
        attempt: TaskRecord,
        folder: TaskFolder,
        context: TaskContext,
        demand: Demand,
        deadline: float | None,
    ) -> TaskResult:
        exit_code: int | None = None
        try:
            with folder.log.open("wb") as log:
                process = await self._launcher.start(step.container, context, folder.path, log, demand)
                folder.remember_process(process.pid)
                try:
                    with self._launcher.while_working():
                        exit_code = await process.wait(deadline)
                except asyncio.CancelledError:
                    exit_code = await process.end()
                    raise
            if exit_code == 0:
                return TaskResult(State.SUCCEEDED, exit_code, read_outputs(step, folder))
        except asyncio.CancelledError:
            # Before it had a process, too.
            self._journal.tell_end(attempt, _unfinished(State.INTERRUPTED, step, exit_code, folder))
            raise
        except MulgilError as exc:
            folder.note(exc)
            exit_code = exc.exit_code
        return _unfinished(State.FAILED, step, exit_code, folder)


def context_of(step: Step, run: Run, folder: TaskFolder) -> TaskContext:
    """Return what the placeholders of a step's command line stand for, with its outputs in a folder."""
    return TaskContext(
        run_id=run.run_id,
        task_path=step.path,
        input_parameters=step.inputs.parameters,
        defaulted=step.defaulted,
        input_artifacts=step.inputs.artifacts,
        output_artifacts={name: folder.place_artifact(name) for name in step.outputs.artifacts},
        output_parameters={name: folder.place_parameter(name) for name in step.outputs.parameters},
        created_at=run.created_at,
    )


def _unfinished(state: State, step: Step, exit_code: int | None, folder: TaskFolder) -> TaskResult:
    places = {name: folder.place_artifact(name) for name in step.outputs.artifacts}
    written = {name: place for name, place in places.items() if place.exists()}
    return TaskResult(state, exit_code, Values(artifacts=written), failed=(step.path,))
