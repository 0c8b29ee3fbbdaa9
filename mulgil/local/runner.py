"""Runs a compiled pipeline on this machine.

Independent tasks run side by side. A task starts when everything before it has succeeded; it is `skipped`
where its condition is false or something before it was skipped, and `blocked` where something before it
failed. The rest of the graph goes on.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mulgil.errors import MulgilError, PermanentError, describe
from mulgil.local.conditions import is_met
from mulgil.local.container_step import StepProcesses
from mulgil.local.environments import find_environment
from mulgil.local.parameters import bind_parameters, read_parameter
from mulgil.local.pipeline_spec import (
    ArtifactSource,
    Component,
    Dag,
    InputDefinitions,
    ParameterSource,
    PipelineSpec,
    Task,
)
from mulgil.local.placeholders import TaskContext, resolve_text
from mulgil.local.run_store import State, TaskRecord

Observe = Callable[[TaskRecord], None]


@dataclass(frozen=True)
class Outputs:
    """What a task gave.

    Attributes:
        parameters: Values by name.
        artifacts: Places by name.
    """

    parameters: Mapping[str, Any] = field(default_factory=dict)
    artifacts: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class TaskResult:
    """How a task ended, and what it gave.

    Attributes:
        state: A final state.
        exit_code: Of the process that failed, where one did.
        outputs: Of a task that succeeded; of a failed one the artifacts that it had written.
        is_of_graph: Whether the task was a graph that ran, and its own tasks have results of theirs.
    """

    state: State
    exit_code: int | None = None
    outputs: Outputs = Outputs()
    is_of_graph: bool = False


@dataclass(frozen=True)
class RunResult:
    """How a run ended.

    Attributes:
        tasks: Every task's result, by its name with those of the graphs around it before slashes.
    """

    tasks: Mapping[str, TaskResult]

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the tasks that failed, in the order in which they ended."""
        return tuple(name for name, result in self.tasks.items() if result.state is State.FAILED)

    @property
    def state(self) -> State:
        """The run's own state."""
        return State.FAILED if self.failed else State.SUCCEEDED

    def find_artifact(self, task: str, name: str) -> Path | None:
        """Return the artifact of a task by the task's own name, in whichever graph it stands."""
        for path, result in self.tasks.items():
            if path.rpartition("/")[2] == task:
                return result.outputs.artifacts.get(name)
        return None


def log_of(run_folder: Path, task: str) -> Path:
    """Return the file that a task's output goes to."""
    return run_folder / "tasks" / task / "log.txt"


class PipelineRunner:
    """Runs one compiled pipeline once.

    Args:
        pipeline: What to run.
        run_id: The run's name.
        folder: The run's folder; each task gets one below it.
        observe: Told of each task's start and end, from several threads, one call at a time.

    Raises:
        UnsupportedPipelineError: An image has no environment on this machine.
        PermanentError: An environment is not installed.
    """

    def __init__(self, pipeline: PipelineSpec, run_id: str, folder: Path, observe: Observe) -> None:
        for executor in pipeline.deployment_spec.executors.values():
            find_environment(executor.container.image)
        self._pipeline = pipeline
        self._run_id = run_id
        self._folder = folder
        self._observe = observe
        self._observing = threading.Lock()
        self._processes = StepProcesses()
        # Steps load numeric libraries that use every core; more of them than cores only waits.
        self._places = threading.BoundedSemaphore(os.cpu_count() or 1)
        self._results: dict[str, TaskResult] = {}

    def run(self, parameters: Mapping[str, Any]) -> RunResult:
        """Run the pipeline to its end.

        Args:
            parameters: The pipeline's parameters, by name.

        Raises:
            InputError: A parameter is unknown, missing or of the wrong type.
            KeyboardInterrupt: The user interrupted; every step has been ended.
        """
        root = self._pipeline.root
        if root.dag is None:
            raise PermanentError("The pipeline's root is not a graph.")
        values = bind_parameters(root.input_definitions, parameters)
        try:
            self._run_graph(root.dag, Outputs(parameters=values), prefix="")
        except BaseException:
            self._processes.stop()
            raise
        return RunResult(self._results)

    def _run_graph(self, graph: Dag, scope: Outputs, prefix: str) -> State:
        """Run a graph; `scope` is what its component was given."""
        ended: dict[str, TaskResult] = {}
        waiting = dict(graph.tasks)
        running: dict[Future[TaskResult], str] = {}
        # A thread for each task: one that runs a nested graph waits, and must not take another's place.
        with ThreadPoolExecutor(max_workers=len(graph.tasks) or 1) as pool:
            try:
                while waiting or running:
                    for name, task in list(waiting.items()):
                        if task.upstream <= ended.keys():
                            del waiting[name]
                            future = pool.submit(self._run_task, name, task, scope, dict(ended), prefix)
                            running[future] = name
                    done, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        ended[running.pop(future)] = future.result()
            except BaseException:
                self._processes.stop()
                raise
        states = {result.state for result in ended.values()}
        return State.FAILED if states & {State.FAILED, State.BLOCKED} else State.SUCCEEDED

    def _run_task(
        self, name: str, task: Task, scope: Outputs, ended: Mapping[str, TaskResult], prefix: str
    ) -> TaskResult:
        path = prefix + name
        record = TaskRecord(self._run_id, path, State.RUNNING, time.time())
        try:
            result = self._decide(name, task, scope, ended, path, record)
        except MulgilError as exc:
            # What the runner refuses is found where what the step refuses is: in the task's log.
            with self._log_of(path).open("a", encoding="utf-8") as log:
                log.write(f"{type(exc).__name__}: {exc}\n")
            result = TaskResult(State.FAILED, exc.exit_code)
        # A graph that ran is told of by its tasks; one that did not run, by itself.
        if not result.is_of_graph:
            self._tell(replace(record, state=result.state, ended_at=time.time(), exit_code=result.exit_code))
            self._results[path] = result
        return result

    def _decide(
        self,
        name: str,
        task: Task,
        scope: Outputs,
        ended: Mapping[str, TaskResult],
        path: str,
        record: TaskRecord,
    ) -> TaskResult:
        before = {ended[upstream].state for upstream in task.upstream}
        if before & {State.FAILED, State.BLOCKED}:
            return TaskResult(State.BLOCKED)
        if State.SKIPPED in before:
            return TaskResult(State.SKIPPED)
        component = self._pipeline.component_of(task)
        inputs = self._resolve_inputs(name, task, component.input_definitions, scope, ended)
        if task.trigger_policy and not is_met(task.trigger_policy.condition, inputs.parameters):
            return TaskResult(State.SKIPPED)
        if component.dag is not None:
            return TaskResult(self._run_graph(component.dag, inputs, prefix=f"{path}/"), is_of_graph=True)
        with self._places:
            self._tell(replace(record, started_at=time.time()))
            return self._run_step(path, component, inputs)

    def _run_step(self, path: str, component: Component, inputs: Outputs) -> TaskResult:
        folder = self._folder / "tasks" / path
        artifacts = {name: folder / "artifacts" / name for name in component.output_definitions.artifacts}
        files = {name: folder / "parameters" / name for name in component.output_definitions.parameters}
        for place in (folder / "artifacts", folder / "parameters"):
            place.mkdir(parents=True, exist_ok=True)
        context = TaskContext(
            run_id=self._run_id,
            task_name=path,
            input_parameters=inputs.parameters,
            input_artifacts=inputs.artifacts,
            output_artifacts=artifacts,
            output_parameters=files,
        )
        container = self._pipeline.container_of(component)
        exit_code = self._processes.run(container, context, folder, self._log_of(path))
        written = {name: place for name, place in artifacts.items() if place.exists()}
        if exit_code != 0:
            return TaskResult(State.FAILED, exit_code, Outputs(artifacts=written))
        definitions = component.output_definitions.parameters
        values = {
            name: read_parameter(name, file.read_text(encoding="utf-8"), definitions[name].parameter_type)
            for name, file in files.items()
            if file.exists()
        }
        missing = sorted((artifacts.keys() - written.keys()) | (files.keys() - values.keys()))
        if missing:
            raise PermanentError(
                describe(f"The task {path} ended well without an output", expected=", ".join(missing))
            )
        return TaskResult(State.SUCCEEDED, exit_code, Outputs(values, written))

    def _resolve_inputs(
        self,
        name: str,
        task: Task,
        definitions: InputDefinitions,
        scope: Outputs,
        ended: Mapping[str, TaskResult],
    ) -> Outputs:
        outputs = {producer: result.outputs for producer, result in ended.items()}
        context = TaskContext(self._run_id, name, scope.parameters, scope.artifacts)
        # An optional input of the pipeline that nobody gave stays away here too.
        given = {
            key: _parameter(source, scope, outputs, context)
            for key, source in task.inputs.parameters.items()
            if source.component_input_parameter is None
            or source.component_input_parameter in scope.parameters
        }
        artifacts = {key: _artifact(source, scope, outputs) for key, source in task.inputs.artifacts.items()}
        return Outputs(bind_parameters(definitions, given), artifacts)

    def _log_of(self, path: str) -> Path:
        log = log_of(self._folder, path)
        log.parent.mkdir(parents=True, exist_ok=True)
        return log

    def _tell(self, record: TaskRecord) -> None:
        with self._observing:
            self._observe(record)


def _parameter(
    source: ParameterSource, scope: Outputs, outputs: Mapping[str, Outputs], context: TaskContext
) -> Any:
    if source.component_input_parameter is not None:
        return scope.parameters[source.component_input_parameter]
    if source.task_output_parameter is not None:
        reference = source.task_output_parameter
        return outputs[reference.producer_task].parameters[reference.output_parameter_key]
    assert source.runtime_value is not None
    constant = source.runtime_value.constant
    return resolve_text(constant, context) if isinstance(constant, str) else constant


def _artifact(source: ArtifactSource, scope: Outputs, outputs: Mapping[str, Outputs]) -> Path:
    if source.component_input_artifact is not None:
        return scope.artifacts[source.component_input_artifact]
    assert source.task_output_artifact is not None
    reference = source.task_output_artifact
    return outputs[reference.producer_task].artifacts[reference.output_artifact_key]
