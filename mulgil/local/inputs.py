"""What a task is given: its inputs, resolved from the graph around it and the tasks before it.

Source: `resolveInputs` in backend/src/v2/driver/resolve.go, kfp 2.17.0.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mulgil.errors import PermanentError, UnsupportedPipelineError, describe
from mulgil.local.graph_spec import ArtifactSource, ParameterSource, Task
from mulgil.local.parameters import complete_parameters
from mulgil.local.pipeline_spec import InputDefinitions
from mulgil.local.placeholders import TaskContext, resolve_constant
from mulgil.local.results import TaskResult, Values
from mulgil.local.run_store import State

# The one form that the compiler writes.
_KEY_SELECTOR = re.compile(r'^parseJson\(string_value\)\["(?P<key>.+)"\]$')
# google.rpc.Code's UNKNOWN, as an exit code is none of the others.
_UNKNOWN_ERROR = 2


@dataclass(frozen=True)
class Run:
    """What a task can know of its run.

    Attributes:
        run_id: The run.
        created_at: In the form of RFC 3339.
    """

    run_id: str
    created_at: str


@dataclass(frozen=True)
class Surroundings:
    """Where a task's inputs come from.

    Attributes:
        run: The run.
        scope: What the graph around the task was given.
        upstream: How the tasks ended that it waits for.
    """

    run: Run
    scope: Values
    upstream: Mapping[str, TaskResult]


def resolve_given(path: str, task: Task, definitions: InputDefinitions, around: Surroundings) -> Values:
    """Resolve what a task is given, without its component's defaults.

    Args:
        path: The task's path.
        task: The task.
        definitions: What its component takes.
        around: Where its inputs come from.

    Returns:
        The inputs that have a value; an optional input of the pipeline that nobody gave is absent here, too.

    Raises:
        PermanentError: An output that it needs was not given.
        UnsupportedPipelineError: A constant holds a placeholder that stands for nothing.
    """
    parameters: dict[str, Any] = {}
    for key, source in task.inputs.parameters.items():
        definition = definitions.parameters.get(key)
        is_dispensable = task.is_exit_task and definition is not None and definition.is_optional
        value = _parameter(source, around, is_dispensable=is_dispensable)
        if value is not None:
            parameters[key] = _select(value, source.parameter_expression_selector)
    context = TaskContext(
        around.run.run_id, path, input_parameters=parameters, created_at=around.run.created_at
    )
    constants = {
        key: resolve_constant(source.runtime_value.constant, context)
        for key, source in task.inputs.parameters.items()
        if source.runtime_value is not None
    }
    artifacts = {
        key: place
        for key, source in task.inputs.artifacts.items()
        if (place := _artifact(source, around)) is not None
    }
    return Values(parameters | constants, artifacts)


def complete_given(definitions: InputDefinitions, given: Values) -> Values:
    """Complete what a task was given with its component's defaults, and hold it to its types.

    Raises:
        InputError: A parameter is missing or of the wrong type.
        PermanentError: An artifact is missing.
    """
    missing = sorted(
        name
        for name, definition in definitions.artifacts.items()
        if name not in given.artifacts and not definition.is_optional
    )
    if missing:
        raise PermanentError(describe("An input artifact is missing", expected=", ".join(missing)))
    return Values(complete_parameters(definitions, given.parameters), given.artifacts)


def _parameter(source: ParameterSource, around: Surroundings, *, is_dispensable: bool) -> Any:
    if source.component_input_parameter is not None:
        return around.scope.parameters.get(source.component_input_parameter)
    if source.task_final_status is not None:
        return _final_status(source.task_final_status.producer_task, around)
    if source.task_output_parameter is None:
        return None
    reference = source.task_output_parameter
    outputs = around.upstream[reference.producer_task].outputs.parameters
    if reference.output_parameter_key not in outputs and not is_dispensable:
        raise _no_output(reference.producer_task, reference.output_parameter_key)
    return outputs.get(reference.output_parameter_key)


def _artifact(source: ArtifactSource, around: Surroundings) -> Path | None:
    if source.component_input_artifact is not None:
        return around.scope.artifacts.get(source.component_input_artifact)
    assert source.task_output_artifact is not None
    reference = source.task_output_artifact
    outputs = around.upstream[reference.producer_task].outputs.artifacts
    if reference.output_artifact_key not in outputs:
        raise _no_output(reference.producer_task, reference.output_artifact_key)
    return outputs[reference.output_artifact_key]


def _final_status(task: str, around: Surroundings) -> dict[str, Any]:
    """Write how a task ended, in the form of KFP's `PipelineTaskFinalStatus`."""
    result = around.upstream[task]
    has_failed = result.state is State.FAILED
    error = {"code": _UNKNOWN_ERROR, "message": f"failed: {', '.join(result.failed)}"} if has_failed else {}
    return {
        "state": "FAILED" if has_failed else "SUCCEEDED",
        "error": error,
        "pipelineJobResourceName": around.run.run_id,
        "pipelineTaskName": task,
    }


def _select(value: Any, selector: str) -> Any:
    """Take a part of a value."""
    if not selector:
        return value
    match = _KEY_SELECTOR.match(selector)
    if match is None:
        raise UnsupportedPipelineError(
            describe(
                "A part of a value is selected in a way that this runner does not implement",
                expected='parseJson(string_value)["key"]',
                received=f"parameterExpressionSelector={selector}",
            )
        )
    try:
        return (json.loads(value) if isinstance(value, str) else value)[match["key"]]
    except (ValueError, TypeError, KeyError) as exc:
        raise PermanentError(
            describe("A loop's item lacks a part", expected=match["key"], received=f"item={value!r:.80}")
        ) from exc


def _no_output(task: str, key: str) -> PermanentError:
    return PermanentError(
        describe(
            f"The task {task} gave no output {key}",
            expected="an output of a step that ran; of a loop, of every iteration, and at least of one",
        )
    )
