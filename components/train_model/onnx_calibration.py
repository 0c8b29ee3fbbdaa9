"""A calibration's map as nodes of an ONNX model."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import helper, numpy_helper

from components.train_model.calibration import (
    LEAST_OF_CLASSES,
    LEAST_PROBABILITY,
    MOST_PROBABILITY,
    by_column,
    lines_of,
)
from mulgil.artifacts import CalibrationMap

# Whose operators these nodes are.
CALIBRATION_OPSET = 17


class _Chain:
    """Nodes each of which takes what the one before gave."""

    def __init__(self, given: str) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.last = given

    def constant(self, value: object, dtype: type = np.float32) -> str:
        name = f"calibration_constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(value, dtype), name))
        return name

    def then(self, operator: str, *more: str, **attributes: Any) -> str:
        given, self.last = self.last, f"calibration_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, [given, *more], [self.last], **attributes))
        return self.last

    def divide_by_sum(self) -> None:
        parts = self.last
        total = self.then("ReduceSum", self.constant([-1], np.int64), keepdims=1)
        self.last = parts
        self.then("Div", total)


def map_probabilities(calibration: CalibrationMap, given: str, output: str) -> tuple[list[Any], list[Any]]:
    """Return the nodes from a model's probabilities to those that `calibrate` gives, and their constants.

    Args:
        calibration: The map.
        given: Name of the probabilities.
        output: Name of what comes out.
    """
    chain = _Chain(given)
    if calibration.kind == "isotonic":
        starts, lengths, rises, lowest = lines_of(calibration)
        chain.then("Unsqueeze", chain.constant([-1], np.int64))
        chain.then("Sub", chain.constant(starts))
        chain.then("Div", chain.constant(lengths))
        chain.then("Clip", chain.constant(0), chain.constant(1))
        chain.then("Mul", chain.constant(rises))
        chain.then("ReduceSum", chain.constant([-1], np.int64), keepdims=0)
        chain.then("Add", chain.constant(lowest))
    elif calibration.kind == "temperature" and calibration.is_of_classes:
        chain.then("Clip", chain.constant(LEAST_OF_CLASSES), chain.constant(1))
        chain.then("Log")
        chain.then("Mul", chain.constant(by_column(calibration.slopes)))
        chain.then("Exp")
    else:
        chain.then("Clip", chain.constant(LEAST_PROBABILITY), chain.constant(MOST_PROBABILITY))
        clipped = chain.last
        chain.then("Neg")
        chain.then("Add", chain.constant(1))
        of_no = chain.then("Log")
        chain.last = clipped
        chain.then("Log")
        chain.then("Sub", of_no)
        chain.then("Mul", chain.constant(by_column(calibration.slopes)))
        chain.then("Add", chain.constant(by_column(calibration.offsets)))
        chain.then("Sigmoid")
    if calibration.is_of_classes:
        chain.divide_by_sum()
    chain.nodes[-1].output[0] = output
    return chain.nodes, chain.constants
