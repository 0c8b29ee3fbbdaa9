"""From a fitted estimator to an ONNX model with one output, in the target's own unit."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx

from components.train_model.heads import Head
from mulgil.contract import Task


def convert_to_onnx(estimator: Any, head: Head, width: int, output: str) -> bytes:
    """Convert.

    Args:
        estimator: A fitted estimator of scikit-learn's.
        head: What its numbers are.
        width: Length of the numeric input.
        output: Name of the output.

    Returns:
        The model: one float32 input (rows, width), and one float32 output (rows,), or (rows, head.width).
    """
    options = {id(estimator): {"zipmap": False}} if head.task.is_classification else None
    model = to_onnx(estimator, np.zeros((1, width), np.float32), options=options, name=output)
    graph = model.graph
    raw = graph.output[-1].name
    nodes, constants = _tail(head, raw, output)
    graph.node.extend(nodes)
    graph.initializer.extend(constants)
    del graph.output[:]
    shape = ["rows"] if head.width == 1 else ["rows", head.width]
    graph.output.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, shape))
    graph.input[0].CopyFrom(
        helper.make_tensor_value_info(graph.input[0].name, TensorProto.FLOAT, ["rows", width])
    )
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


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
