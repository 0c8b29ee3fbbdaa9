"""KServe's own Python server, with the bundle's SavedModel or its LiteRT model behind `kserve.Model`.

It is written as KServe's documentation writes a custom model. It checks no value. Its LiteRT variant encodes
with our executor, which leaves the peer's cost to the peer's code.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer
from kserve.utils.utils import generate_uuid

from mulgil.artifacts import BUNDLE_LITERT, BUNDLE_SAVED_MODEL, BUNDLE_TRANSFORM
from mulgil.preprocessing import FittedTransform, TransformExecutor

Columns = dict[str, list[Any]]
Predict = Callable[[Columns], "np.ndarray[Any, Any]"]


def load_litert(bundle: Path) -> Predict:
    """Return the LiteRT model behind the transform executor."""
    from ai_edge_litert.interpreter import Interpreter

    executor = TransformExecutor(FittedTransform.read(bundle / BUNDLE_TRANSFORM))
    interpreter = Interpreter(model_path=str(bundle / BUNDLE_LITERT), num_threads=1)
    place, output = (
        details[0]["index"] for details in (interpreter.get_input_details(), interpreter.get_output_details())
    )
    interpreter.allocate_tensors()

    def predict(columns: Columns) -> np.ndarray[Any, Any]:
        interpreter.set_tensor(place, executor.apply(columns))
        interpreter.invoke()
        return np.asarray(interpreter.get_tensor(output))

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


class PeerModel(Model):
    """One model for V1 and V2."""

    def __init__(self, predict: Predict) -> None:
        super().__init__("bench")
        self._predict = predict
        self.ready = True

    def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> Any:
        """Answer one request."""
        if isinstance(payload, InferRequest):
            scores = self._predict({tensor.name: tensor.data for tensor in payload.inputs})
            output = InferOutput("probability", list(scores.shape), "FP32", data=scores.tolist())
            return InferResponse(payload.id or generate_uuid(), "bench", [output])
        instances = payload["instances"]
        columns = {name: [instance[name] for instance in instances] for name in instances[0]}
        return {"predictions": self._predict(columns).tolist()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model-path", type=Path, required=True, help="the bundle's directory")
    parser.add_argument("--http-port", type=int, required=True, help="where to listen")
    parser.add_argument("--runtime", choices=("litert", "saved_model"), required=True, help="what computes")
    arguments = parser.parse_args()
    load = {"litert": load_litert, "saved_model": load_saved_model}[arguments.runtime]
    ModelServer(http_port=arguments.http_port, enable_grpc=False, workers=1).start(
        [PeerModel(load(arguments.model_path))]
    )
