"""The placeholders of a container's command line, resolved as KFP's launcher does.

Source: backend/src/v2/component/launcher_v2.go and the SDK's kfp/dsl/placeholders.py, kfp 2.17.0.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mulgil.errors import UnsupportedPipelineError, describe

_PLACEHOLDER = re.compile(r"\{\{\$\.?([^{}]*)\}\}")
_KEYED = re.compile(r"^(inputs|outputs)\.(parameters|artifacts)\['([^']+)'\](?:\.(\w+))?$")


@dataclass(frozen=True)
class TaskContext:
    """What placeholders can stand for in one task.

    Attributes:
        run_id: The run.
        task_name: The task.
        input_parameters: Values by name.
        input_artifacts: Places by name.
        output_artifacts: Places by name.
        output_parameters: Files that the values are to be written to, by name.
    """

    run_id: str
    task_name: str
    input_parameters: Mapping[str, Any] = field(default_factory=dict)
    input_artifacts: Mapping[str, Path] = field(default_factory=dict)
    output_artifacts: Mapping[str, Path] = field(default_factory=dict)
    output_parameters: Mapping[str, Path] = field(default_factory=dict)


def resolve_command(parts: Sequence[str], context: TaskContext) -> list[str]:
    """Resolve a command line; an `IfPresent` gives any number of words.

    Raises:
        UnsupportedPipelineError: A placeholder is of a kind that this runner does not implement.
    """
    return [word for part in parts for word in _resolve_part(_structure(part), context)]


def resolve_text(text: str, context: TaskContext) -> str:
    """Resolve the placeholders within one text."""
    return _PLACEHOLDER.sub(lambda match: _value(match, context), text)


def write_value(value: Any) -> str:
    """Write a parameter as a command line has it: text as it is, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def _structure(part: str) -> Any:
    """Return a part as text, or as the structure of a Concat or IfPresent, which KFP writes as JSON."""
    if part.startswith(('{"Concat":', '{"IfPresent":')):
        return json.loads(part)
    return part


def _resolve_part(part: Any, context: TaskContext) -> list[str]:
    match part:
        case str():
            return [resolve_text(part, context)]
        case {"Concat": list(items)}:
            return ["".join(word for item in items for word in _resolve_part(item, context))]
        case {"IfPresent": {"InputName": str(name), "Then": then, **rest}}:
            is_present = name in context.input_parameters or name in context.input_artifacts
            chosen = then if is_present else rest.get("Else", [])
            items = chosen if isinstance(chosen, list) else [chosen]
            return [word for item in items for word in _resolve_part(item, context)]
    raise UnsupportedPipelineError(
        describe("A command line has a structure that this runner does not implement", received=repr(part))
    )


def _value(match: re.Match[str], context: TaskContext) -> str:
    expression = match.group(1)
    simple = {
        "pipeline_job_name": context.run_id,
        "pipeline_job_uuid": context.run_id,
        "pipeline_task_name": context.task_name,
    }
    if expression in simple:
        return simple[expression]
    keyed = _KEYED.match(expression)
    if keyed:
        match keyed.groups():
            case ("inputs", "parameters", name, None) if name in context.input_parameters:
                return write_value(context.input_parameters[name])
            case ("inputs", "artifacts", name, "path") if name in context.input_artifacts:
                return str(context.input_artifacts[name])
            case ("inputs", "artifacts", name, "uri") if name in context.input_artifacts:
                return context.input_artifacts[name].as_uri()
            case ("outputs", "artifacts", name, "path") if name in context.output_artifacts:
                return str(context.output_artifacts[name])
            case ("outputs", "artifacts", name, "uri") if name in context.output_artifacts:
                return context.output_artifacts[name].as_uri()
            case ("outputs", "parameters", name, "output_file") if name in context.output_parameters:
                return str(context.output_parameters[name])
    raise UnsupportedPipelineError(
        describe(
            f"Task {context.task_name} uses a placeholder that this runner cannot resolve",
            received=match.group(0),
        )
    )
