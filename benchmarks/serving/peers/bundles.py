"""The bundle's model as every peer calls it. It checks no value, and encodes with our executor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mulgil.artifacts import BUNDLE_LITERT, BUNDLE_SAVED_MODEL, BUNDLE_TRANSFORM
from mulgil.preprocessing import FittedTransform, TransformExecutor

# An image column may be an array, of any shape that has its pixels.
Columns = dict[str, Any]
Predict = Callable[[Columns], "np.ndarray[Any, Any]"]


def load_litert(bundle: Path) -> Predict:
    """Return the LiteRT model behind the transform executor."""
    from ai_edge_litert.interpreter import Interpreter

    transform = FittedTransform.read(bundle / BUNDLE_TRANSFORM)
    executor = TransformExecutor(transform)
    images = {column.name: column.width for column in transform.columns if column.image is not None}
    interpreter = Interpreter(model_path=str(bundle / BUNDLE_LITERT), num_threads=1)
    place, output = (
        details[0]["index"] for details in (interpreter.get_input_details(), interpreter.get_output_details())
    )
    shape: tuple[int, ...] = ()

    def predict(columns: Columns) -> np.ndarray[Any, Any]:
        nonlocal shape
        for name, width in images.items():
            columns[name] = np.asarray(columns[name], np.float32).reshape(-1, width)
        encoded = executor.apply(columns)
        if encoded.shape != shape:
            shape = encoded.shape
            interpreter.resize_tensor_input(place, shape)
            interpreter.allocate_tensors()
        interpreter.set_tensor(place, encoded)
        interpreter.invoke()
        return np.asarray(interpreter.get_tensor(output))

    return predict


def load_onnx(bundle: Path, model: Path) -> Predict:
    """Return an ONNX model behind the transform executor."""
    import onnxruntime

    executor = TransformExecutor(FittedTransform.read(bundle / BUNDLE_TRANSFORM))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])

    def predict(columns: Columns) -> np.ndarray[Any, Any]:
        (answer,) = session.run(None, {"numbers": executor.apply(columns)})
        return np.asarray(answer)

    return predict


def load_saved_model(bundle: Path) -> Predict:
    """Return the SavedModel's serving signature."""
    import tensorflow as tf

    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.threading.set_intra_op_parallelism_threads(1)
    loaded = tf.saved_model.load(str(bundle / BUNDLE_SAVED_MODEL))
    serve = loaded.signatures["serving_default"]
    dtypes = {name: spec.dtype for name, spec in serve.structured_input_signature[1].items()}

    def predict(columns: Columns) -> np.ndarray[Any, Any]:
        tensors = {name: tf.constant(values, dtypes[name]) for name, values in columns.items()}
        (answer,) = serve(**tensors).values()
        return np.asarray(answer)

    # A signature belongs to the object that was loaded, and ends with it.
    predict.loaded = loaded  # type: ignore[attr-defined]
    return predict


def by_column(instances: list[dict[str, Any]]) -> Columns:
    """Turn V1's instances into columns."""
    return {name: [instance[name] for instance in instances] for name in instances[0]}


def plain(values: np.ndarray[Any, Any]) -> list[Any]:
    """Return a column's array as Python's own values, texts as text."""
    elements = values.reshape(-1).tolist()
    return [value.decode() if isinstance(value, bytes) else value for value in elements]
