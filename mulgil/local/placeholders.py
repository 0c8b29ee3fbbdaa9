"""The placeholders of command lines and constants, resolved as KFP's driver and launcher do.

A command line may name the task's inputs and outputs; a constant may name the other inputs of its task, or be
one of the names of the run. An `IfPresent` gives any number of words, by whether a parameter was given: a
default fills a command line, but does not count as given.

Source: backend/src/v2/driver/{resolve,util}.go and backend/src/v2/component/launcher_v2.go, kfp 2.17.0.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mulgil.errors import UnsupportedPipelineError, describe
from mulgil.local.parameters import write_parameter

_EXECUTOR_INPUT = "{{$}}"
_PLACEHOLDER = re.compile(r"\{\{\$\.?([^{}]*)\}\}")
_INPUT_PARAMETER = re.compile(r"^inputs\.parameters\['([^']+)'\]$")
_INPUT = re.compile(r"^inputs\.(?:parameters\['[^']+'\]|artifacts\['[^']+'\]\.(?:path|uri))$")
_OUTPUT = re.compile(r"^outputs\.(?:parameters\['[^']+'\]\.output_file|artifacts\['[^']+'\]\.(?:path|uri))$")


@dataclass(frozen=True)
class TaskContext:
    """What placeholders can stand for in one task.

    Attributes:
        run_id: The run.
        task_path: The task, with the graphs around it before slashes.
        input_parameters: Values by name.
        defaulted: Those of the input parameters that nobody gave.
        input_artifacts: Places by name.
        output_artifacts: Places by name.
        output_parameters: Files that the values are to be written to, by name.
        created_at: When the run was created, in the form of RFC 3339.
    """

    run_id: str
    task_path: str
    input_parameters: Mapping[str, Any] = field(default_factory=dict)
    defaulted: frozenset[str] = frozenset()
    input_artifacts: Mapping[str, Path] = field(default_factory=dict)
    output_artifacts: Mapping[str, Path] = field(default_factory=dict)
    output_parameters: Mapping[str, Path] = field(default_factory=dict)
    created_at: str = ""


# What a constant may be as a whole; within a longer text, KFP's driver leaves them as they are.
_RUN_NAMES: Mapping[str, Callable[[TaskContext], str]] = {
    "{{$.pipeline_job_name}}": lambda context: context.run_id,
    "{{$.pipeline_job_resource_name}}": lambda context: context.run_id,
    "{{$.pipeline_job_uuid}}": lambda context: context.run_id,
    "{{$.pipeline_task_name}}": lambda context: context.task_path.rpartition("/")[2],
    "{{$.pipeline_task_uuid}}": lambda context: f"{context.run_id}/{context.task_path}",
    "{{$.pipeline_job_create_time_utc}}": lambda context: context.created_at,
    "{{$.pipeline_job_schedule_time_utc}}": lambda context: context.created_at,
}


def resolve_command(parts: Sequence[str], context: TaskContext) -> list[str]:
    """Resolve a command line.

    Raises:
        UnsupportedPipelineError: A placeholder is of a kind that this runner does not implement.
    """
    return [resolve_text(word, context) for part in parts for word in _words(part, context)]


def resolve_constant(value: Any, context: TaskContext) -> Any:
    """Resolve a task's constant, in which every text may name the task's other inputs.

    Raises:
        UnsupportedPipelineError: A placeholder is of a kind that this runner does not implement.
    """
    match value:
        case str() if value in _RUN_NAMES:
            return _RUN_NAMES[value](context)
        case str():
            return resolve_text(value, context)
        case list():
            return [resolve_constant(item, context) for item in value]
        case dict():
            return {key: resolve_constant(item, context) for key, item in value.items()}
    return value


def resolve_text(text: str, context: TaskContext) -> str:
    """Resolve the placeholders for inputs and outputs within one text.

    Raises:
        UnsupportedPipelineError: A placeholder stands for nothing.
    """
    values = {
        **{
            f"inputs.parameters['{name}']": write_parameter(value)
            for name, value in context.input_parameters.items()
        },
        **_places("inputs", context.input_artifacts),
        **_places("outputs", context.output_artifacts),
        **{
            f"outputs.parameters['{name}'].output_file": str(file)
            for name, file in context.output_parameters.items()
        },
    }

    def value_of(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise UnsupportedPipelineError(
                describe(
                    f"Task {context.task_path} uses a placeholder that stands for nothing here",
                    expected=", ".join(values) or "none, as the task has no inputs and outputs",
                    received=match[0],
                )
            )
        return values[match[1]]

    return _PLACEHOLDER.sub(value_of, text)


def find_unresolvable(part: str) -> list[str]:
    """Return what in a part of a command line KFP's backend does not resolve."""
    if part.startswith('{"Concat":'):
        return ["a Concat placeholder"]
    if not part.startswith('{"IfPresent":'):
        return [found for found in _find(part) if found and not (_INPUT.match(found) or _OUTPUT.match(found))]
    condition = _condition(part)
    words = [*_listed(condition.get("Then")), *_listed(condition.get("Else"))]
    inner = [
        found
        for word in words
        for found in (_find(word) if isinstance(word, str) else ["Concat or IfPresent"])
        if not _INPUT.match(found)
    ]
    return [f"{found} within an IfPresent placeholder" for found in inner]


def needs_executor_input(part: str) -> bool:
    """Return whether a part of a command line is KFP's whole executor input, as JSON."""
    return _EXECUTOR_INPUT in part


def find_condition_input(part: str) -> str | None:
    """Return the input that an IfPresent looks at."""
    return str(_condition(part)["InputName"]) if part.startswith('{"IfPresent":') else None


def find_unresolvable_in_constant(value: Any) -> list[str]:
    """Return what in a task's constant KFP's driver does not resolve."""
    match value:
        case str() if value in _RUN_NAMES:
            return []
        case str():
            return [found for found in _find(value) if not _INPUT_PARAMETER.match(found)]
        case list():
            return [found for item in value for found in find_unresolvable_in_constant(item)]
        case dict():
            return [found for item in value.values() for found in find_unresolvable_in_constant(item)]
    return []


def _find(text: str) -> list[str]:
    """Return what the placeholders within a text name."""
    return [match[1] for match in _PLACEHOLDER.finditer(text)]


def _words(part: str, context: TaskContext) -> list[str]:
    """Return the words that a part of a command line stands for, their placeholders not yet resolved."""
    if not part.startswith('{"IfPresent":'):
        return [part]
    condition = _condition(part)
    name = condition["InputName"]
    is_given = name in context.input_parameters and name not in context.defaulted
    return _listed(condition.get("Then" if is_given else "Else"))


def _condition(part: str) -> dict[str, Any]:
    """Read an IfPresent, which the compiler writes as JSON."""
    condition: dict[str, Any] = json.loads(part)["IfPresent"]
    return condition


def _listed(words: Any) -> list[Any]:
    if words is None:
        return []
    return words if isinstance(words, list) else [words]


def _places(side: str, artifacts: Mapping[str, Path]) -> dict[str, str]:
    paths = {f"{side}.artifacts['{name}'].path": str(place) for name, place in artifacts.items()}
    return paths | {f"{side}.artifacts['{name}'].uri": place.as_uri() for name, place in artifacts.items()}
