"""Typed parameters: a value of a pipeline or a task, held to the type that its definition states."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mulgil.errors import InputError, describe
from mulgil.local.pipeline_spec import InputDefinitions, ParameterType


def coerce_parameter(name: str, value: Any, type_: ParameterType) -> Any:
    """Return a value in its declared type; an integer that passed through YAML as 3.0 is 3 again.

    Raises:
        InputError: It is not of the type.
    """
    match type_:
        case ParameterType.STRING if isinstance(value, str):
            return value
        case ParameterType.BOOLEAN if isinstance(value, bool):
            return value
        case ParameterType.NUMBER_INTEGER if not isinstance(value, bool) and isinstance(value, int | float):
            if value == int(value):
                return int(value)
        case ParameterType.NUMBER_DOUBLE if not isinstance(value, bool) and isinstance(value, int | float):
            return float(value)
        case ParameterType.LIST if isinstance(value, list):
            return value
        case ParameterType.STRUCT if isinstance(value, dict):
            return value
    raise InputError(
        describe(
            f"The parameter {name} is of another type",
            expected=type_.lower(),
            received=f"{name}={value!r:.80}",
        )
    )


def bind_parameters(definitions: InputDefinitions, given: Mapping[str, Any]) -> dict[str, Any]:
    """Complete given parameters with the defaults, and hold each to its type.

    Raises:
        InputError: One is unknown, missing or of the wrong type.
    """
    unknown = sorted(given.keys() - definitions.parameters.keys())
    if unknown:
        raise InputError(
            describe(
                "Unknown parameter",
                expected=", ".join(definitions.parameters) or "none",
                received=", ".join(unknown),
            )
        )
    bound: dict[str, Any] = {}
    for name, definition in definitions.parameters.items():
        if name in given:
            bound[name] = coerce_parameter(name, given[name], definition.parameter_type)
        elif definition.default_value is not None:
            bound[name] = coerce_parameter(name, definition.default_value, definition.parameter_type)
        elif not definition.is_optional:
            raise InputError(
                describe("A parameter is missing", expected=f"{name} ({definition.parameter_type.lower()})")
            )
    return bound


def read_parameter(name: str, text: str, type_: ParameterType) -> Any:
    """Read a parameter that a step wrote to its output file: text as it is, all else as JSON.

    Raises:
        InputError: The text is not of the type.
    """
    if type_ is ParameterType.STRING:
        return text
    try:
        value = json.loads(text)
    except json.JSONDecodeError as exc:
        raise InputError(
            describe(
                f"The parameter {name} is of another type",
                expected=type_.lower(),
                received=f"{name}={text!r:.80}",
            )
        ) from exc
    return coerce_parameter(name, value, type_)
