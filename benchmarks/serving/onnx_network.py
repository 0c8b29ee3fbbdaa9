"""The bundle's network in ONNX, for the peer that runs it there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_OPERATORS = {"relu": "Relu", "sigmoid": "Sigmoid"}


def write_onnx(path: Path, network: Any) -> None:
    """Write a Keras network of dense layers as ONNX.

    Raises:
        KeyError: A layer's activation is none of those that our binary networks have.
    """
    nodes, weights, last = [], [], "numbers"
    dense = [layer for layer in network.layers if layer.weights]
    for place, layer in enumerate(dense):
        kernel, bias = (np.asarray(one) for one in layer.get_weights())
        names = [f"{part}_{place}" for part in ("kernel", "bias", "sum", "answer")]
        weights += [numpy_helper.from_array(kernel, names[0]), numpy_helper.from_array(bias, names[1])]
        nodes.append(helper.make_node("Gemm", [last, names[0], names[1]], [names[2]]))
        nodes.append(helper.make_node(_OPERATORS[layer.activation.__name__], [names[2]], [names[3]]))
        last = names[3]
    # [rows, 1] to [rows].
    weights.append(numpy_helper.from_array(np.array([-1], np.int64), "flat"))
    nodes.append(helper.make_node("Reshape", [last, "flat"], ["probability"]))
    rows = [None, network.input_shape[1]]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("numbers", TensorProto.FLOAT, rows)],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, [None])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
