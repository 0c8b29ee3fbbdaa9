"""From a fitted estimator to an ONNX model with one output, in the target's own unit."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx

from components.train_model.heads import Head
from components.train_model.onnx_calibration import CALIBRATION_OPSET, map_probabilities
from mulgil.artifacts import CalibrationMap
from mulgil.contract import Task


def convert_to_onnx(
    estimator: Any, head: Head, width: int, output: str, calibration: CalibrationMap | None = None
) -> bytes:
    """Convert.

    Args:
        estimator: A fitted estimator of scikit-learn's.
        head: What its numbers are.
        width: Length of the numeric input.
        output: Name of the output.
        calibration: What the probabilities are mapped by, if at all.

    Returns:
        The model: one float32 input (rows, width), and one float32 output (rows,), or (rows, head.width).
    """
    options = {id(estimator): {"zipmap": False}} if head.task.is_classification else None
    # Else the converter takes the oldest operators that the estimator itself can do with.
    opset = None if calibration is None else CALIBRATION_OPSET
    model = to_onnx(
        estimator, np.zeros((1, width), np.float32), options=options, name=output, target_opset=opset
    )
    graph = model.graph
    raw = graph.output[-1].name
    nodes, constants = _tail(head, raw, output if calibration is None else "not_calibrated")
    if calibration is not None:
        if raw == output:
            _rename(graph, raw, "raw_probabilities")
            nodes[0].input[0] = "raw_probabilities"
        of_map, more = map_probabilities(calibration, "not_calibrated", output)
        nodes, constants = [*nodes, *of_map], [*constants, *more]
    graph.node.extend(nodes)
    graph.initializer.extend(constants)
    del graph.output[:]
    shape = ["rows"] if head.width == 1 else ["rows", head.width]
    graph.output.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, shape))
    graph.input[0].CopyFrom(
        helper.make_tensor_value_info(graph.input[0].name, TensorProto.FLOAT, ["rows", width])
    )
    # The converter has them in the order of a set of strings, another one in each process.
    model.opset_import.sort(key=lambda one: one.domain)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


def _rename(graph: Any, name: str, other: str) -> None:
    for node in graph.node:
        for names in (node.input, node.output):
            for place, one in enumerate(names):
                if one == name:
                    names[place] = other


def _tail(head: Head, raw: str, output: str) -> tuple[list[Any], list[Any]]:
    """Return the nodes from the estimator's output to the head's, and their constants."""

    def constant(name: str, value: object, dtype: type = np.float32) -> Any:
        return numpy_helper.from_array(np.array(value, dtype), name)

    if head.task is Task.BINARY_CLASSIFICATION:
        # Of no and yes, yes.
        return [helper.make_node("Gather", [raw, "yes"], [output], axis=1)], [constant("yes", 1, np.int64)]
    if head.task.is_classification:
        # The converter's own name may be the output's.
        return ([] if raw == output else [helper.make_node("Identity", [raw], [output])]), []
    flat = [-1] if head.width == 1 else [-1, head.width]
    return [
        helper.make_node("Reshape", [raw, "flat"], ["standardised"]),
        helper.make_node("Mul", ["standardised", "scale"], ["scaled"]),
        helper.make_node("Add", ["scaled", "offset"], [output]),
    ], [constant("flat", flat, np.int64), constant("scale", head.scale), constant("offset", head.offset)]
