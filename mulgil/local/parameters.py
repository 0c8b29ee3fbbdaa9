"""Typed parameters: a value held to the type that its definition states, read from text and written as text.

KFP carries every number as a double. Here an integer stays one: where a type says so, and inside lists and
structures where the value is whole.

Source: backend/src/v2/driver/resolve.go and backend/src/v2/metadata/converter.go, kfp 2.17.0.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from mulgil.errors import InputError, describe
from mulgil.local.pipeline_spec import InputDefinitions, ParameterType

_INTEGER = re.compile(r"[+-]?[0-9]+")
# Beyond it a double does not hold every integer.
_LARGEST_SAFE_INTEGER = 2**53 - 1
# What Go's strconv.ParseBool takes.
_BOOLEANS = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False),
}


def coerce_parameter(name: str, value: Any, type_: ParameterType) -> Any:
    """Return a value in its declared type; an integer that passed through YAML as 3.0 is 3 again.

    Raises:
        InputError: It is not of the type.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    match type_:
        case ParameterType.STRING if isinstance(value, str):
            return value
        case ParameterType.BOOLEAN if isinstance(value, bool):
            return value
        case ParameterType.NUMBER_INTEGER if is_number and float(value).is_integer():
            return int(value)
        case ParameterType.NUMBER_DOUBLE if is_number:
            return float(value)
        case ParameterType.LIST if isinstance(value, list):
            return value
        case ParameterType.STRUCT | ParameterType.TASK_FINAL_STATUS if isinstance(value, dict):
            return value
    raise _of_another_type(name, value, type_)


def bind_parameters(definitions: InputDefinitions, given: Mapping[str, Any]) -> dict[str, Any]:
    """Complete a pipeline's parameters with the defaults, and hold each to its type.

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
    return complete_parameters(
        definitions,
        {
            name: coerce_parameter(name, value, definitions.parameters[name].parameter_type)
            for name, value in given.items()
        },
    )


def complete_parameters(definitions: InputDefinitions, given: Mapping[str, Any]) -> dict[str, Any]:
    """Complete a task's parameters with its component's defaults, and hold each to its type.

    What the component does not know is left out: the compiler passes a task more than its component takes,
    to be filled into its constants. A text takes a value of any type, as it is written.

    Raises:
        InputError: One is missing or of the wrong type.
    """
    bound: dict[str, Any] = {}
    for name, definition in definitions.parameters.items():
        type_ = definition.parameter_type
        value = given.get(name, definition.default_value)
        if value is not None:
            text = write_parameter(value) if type_ is ParameterType.STRING else None
            bound[name] = coerce_parameter(name, value if text is None else text, type_)
        elif not definition.is_optional:
            raise InputError(describe("A parameter is missing", expected=f"{name} ({type_.lower()})"))
    return bound


def read_parameter(name: str, text: str, type_: ParameterType) -> Any:
    """Read a parameter that a step wrote to its output file.

    Raises:
        InputError: The text is not of the type.
    """
    try:
        match type_:
            case ParameterType.STRING:
                return text
            case ParameterType.NUMBER_INTEGER if _INTEGER.fullmatch(text.strip()):
                return int(text)
            case ParameterType.NUMBER_DOUBLE:
                return float(text)
            case ParameterType.BOOLEAN if text.strip() in _BOOLEANS:
                return _BOOLEANS[text.strip()]
            case ParameterType.LIST | ParameterType.STRUCT:
                return coerce_parameter(name, json.loads(text), type_)
    except ValueError as exc:
        raise _of_another_type(name, text, type_) from exc
    raise _of_another_type(name, text, type_)


def write_parameter(value: Any) -> str:
    """Write a parameter as a command line has it: text as it is, all else as compact JSON."""
    if isinstance(value, str):
        return value
    return json.dumps(_with_integers(value), separators=(",", ":"), ensure_ascii=False)


def _with_integers(value: Any) -> Any:
    """Return a value whose whole numbers are integers, as JSON knows one kind of number only."""
    match value:
        case float() if value.is_integer() and abs(value) <= _LARGEST_SAFE_INTEGER:
            return int(value)
        case list():
            return [_with_integers(item) for item in value]
        case dict():
            return {key: _with_integers(item) for key, item in value.items()}
    return value


def _of_another_type(name: str, value: Any, type_: ParameterType) -> InputError:
    return InputError(
        describe(
            f"The parameter {name} is of another type",
            expected=type_.lower(),
            received=f"{name}={value!r:.80}",
        )
    )
