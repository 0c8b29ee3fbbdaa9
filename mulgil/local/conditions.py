"""Trigger conditions: CEL, as Kubeflow Pipelines' driver evaluates it.

The driver sees every number as a double; the compiler writes `int(…)` around those that are integers.
Source: backend/src/v2/expression/expression.go, kfp 2.17.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import celpy
from celpy.adapter import json_to_cel
from celpy.celparser import CELParseError
from celpy.celtypes import BoolType
from celpy.evaluation import CELEvalError

from mulgil.errors import UnsupportedPipelineError, describe


def is_met(condition: str, parameters: Mapping[str, Any]) -> bool:
    """Evaluate a task's trigger condition.

    Args:
        condition: CEL over `inputs.parameter_values`.
        parameters: The task's input parameters.

    Raises:
        UnsupportedPipelineError: It cannot be evaluated. It never counts as false.
    """
    environment = celpy.Environment()
    numbers = {name: _as_double(value) for name, value in parameters.items()}
    try:
        program = environment.program(environment.compile(condition))
        result = program.evaluate({"inputs": json_to_cel({"parameter_values": numbers})})
    except (CELParseError, CELEvalError) as exc:
        raise _cannot_evaluate(condition, str(exc)) from exc
    if not isinstance(result, BoolType):
        raise _cannot_evaluate(condition, f"a result of type {type(result).__name__}")
    return bool(result)


def _as_double(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int):
        return value
    return float(value)


def _cannot_evaluate(condition: str, received: str) -> UnsupportedPipelineError:
    return UnsupportedPipelineError(
        describe(
            "A condition cannot be evaluated", expected=f"true or false from {condition}", received=received
        )
    )
