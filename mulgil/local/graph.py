"""Runs a graph: its tasks side by side, each as soon as what it waits for has ended.

A task is `skipped` where its condition is false or something before it was skipped, and `blocked` where
something before it failed. The rest of the graph goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from mulgil.errors import MulgilError
from mulgil.local.conditions import is_met
from mulgil.local.graph_spec import Dag, RetryPolicy, Task
from mulgil.local.importer import import_artifact
from mulgil.local.inputs import Run, Surroundings, complete_given, resolve_given
from mulgil.local.iteration import collect_results, give_item, list_items, without_item, without_items
from mulgil.local.journal import Journal
from mulgil.local.outputs import conclude_graph
from mulgil.local.pipeline_spec import Component, PipelineSpec
from mulgil.local.results import TaskResult, Values
from mulgil.local.run_store import State
from mulgil.local.step import RunsSteps, Step
from mulgil.local.task_folder import TaskFolder
from mulgil.local.triggers import end_without_start


class GraphRunner:
    """Runs the graphs of one run.

    Args:
        pipeline: What is run.
        run: The run.
        folder: The run's folder.
        steps: Runs the steps.
        journal: Told of the tasks that end without a step.
    """

    def __init__(
        self, pipeline: PipelineSpec, run: Run, folder: Path, steps: RunsSteps, journal: Journal
    ) -> None:
        self._pipeline = pipeline
        self._run = run
        self._folder = folder
        self._steps = steps
        self._journal = journal

    async def run(self, graph: Dag, scope: Values, prefix: str, retry_policy: RetryPolicy) -> TaskResult:
        """Run a graph to its end.

        Args:
            graph: The graph.
            scope: What it was given.
            prefix: Of its tasks' paths.
            retry_policy: Of its tasks that have none of their own.
        """
        running: dict[str, asyncio.Task[TaskResult]] = {}
        ended: dict[str, TaskResult] = {}

        async def run_after(name: str, task: Task) -> TaskResult:
            upstream = {before: await running[before] for before in task.upstream}
            around = Surroundings(self._run, scope, upstream)
            ended[name] = await self._run_task(prefix + name, task, around, retry_policy)
            return ended[name]

        async with asyncio.TaskGroup() as group:
            for name in graph.order():
                running[name] = group.create_task(run_after(name, graph.tasks[name]))
        return conclude_graph(graph, ended)

    async def _run_task(
        self, path: str, task: Task, around: Surroundings, retry_policy: RetryPolicy
    ) -> TaskResult:
        states = (result.state for result in around.upstream.values())
        state = end_without_start(states, is_exit_task=task.is_exit_task)
        if state is not None:
            return self._journal.tell_end_without_start(path, task, TaskResult(state))
        start = self._start_task(path, task, around, task.retry_policy or retry_policy)
        return await self._note_failure(path, task, start)

    async def _note_failure(self, path: str, task: Task, work: Coroutine[Any, Any, TaskResult]) -> TaskResult:
        """Turn what the runner refuses into the task's failure, with the reason in the task's log."""
        try:
            return await work
        except MulgilError as exc:
            TaskFolder(self._folder, path).note(exc)
            result = TaskResult(State.FAILED, exc.exit_code, failed=(path,))
            return self._journal.tell_end_without_start(path, task, result)

    async def _start_task(
        self, path: str, task: Task, around: Surroundings, retry_policy: RetryPolicy
    ) -> TaskResult:
        component = self._pipeline.component_of(task)
        iterator = task.parameter_iterator
        given = resolve_given(path, task, component.input_definitions, around)
        condition = task.trigger_policy.condition
        if condition:
            taken = without_item(iterator, component.input_definitions)
            if not is_met(condition, complete_given(taken, given).parameters):
                return self._journal.tell_end_without_start(path, task, TaskResult(State.SKIPPED))
        if iterator is None:
            return await self._run_component(task, component, given, path, retry_policy)
        items = list_items(iterator, given)
        if not items:
            return self._journal.tell_end_without_start(path, task, TaskResult(State.SUCCEEDED))
        limit = task.iterator_policy.parallelism_limit
        places = asyncio.Semaphore(limit) if limit else contextlib.nullcontext()

        async def run_iteration(index: int, inputs: Values) -> TaskResult:
            where = f"{path}/{index}"
            async with places:
                work = self._run_component(task, component, inputs, where, retry_policy)
                return await self._note_failure(where, task, work)

        async with asyncio.TaskGroup() as group:
            iterations = [
                group.create_task(run_iteration(index, give_item(iterator, given, item)))
                for index, item in enumerate(items)
            ]
        return collect_results([iteration.result() for iteration in iterations])

    async def _run_component(
        self, task: Task, component: Component, given: Values, path: str, retry_policy: RetryPolicy
    ) -> TaskResult:
        inputs = complete_given(without_items(task.parameter_iterator, component.input_definitions), given)
        if component.dag is not None:
            return await self.run(component.dag, inputs, f"{path}/", retry_policy)
        executor = self._pipeline.executor_of(component)
        if executor.importer is not None:
            outputs = import_artifact(executor.importer, component, inputs)
            result = TaskResult(State.SUCCEEDED, outputs=outputs)
            return self._journal.tell_end_without_start(path, task, result)
        assert executor.container is not None
        return await self._steps.run(
            Step(
                path=path,
                task=task,
                container=executor.container,
                # The container's resources may name inputs that its component does not take.
                inputs=Values({**given.parameters, **inputs.parameters}, inputs.artifacts),
                defaulted=frozenset(inputs.parameters.keys() - given.parameters.keys()),
                outputs=component.output_definitions,
                retry_policy=retry_policy,
            )
        )
