"""KServe's own Python server, with the bundle's SavedModel or its LiteRT model behind `kserve.Model`.

It is written as KServe's documentation writes a custom model.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from kserve import InferInput, InferOutput, InferRequest, InferResponse, Model, ModelServer
from kserve.utils.utils import generate_uuid

from benchmarks.serving.peers.bundles import Predict, by_column, load_litert, load_saved_model, plain


class PeerModel(Model):
    """One model for V1 and V2."""

    def __init__(self, predict: Predict) -> None:
        super().__init__("bench")
        self._predict = predict
        self.ready = True

    def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> Any:
        """Answer one request."""
        if isinstance(payload, InferRequest):
            scores = self._predict({tensor.name: _values(tensor) for tensor in payload.inputs})
            output = InferOutput("probability", list(scores.shape), "FP32", data=scores.ravel().tolist())
            return InferResponse(payload.id or generate_uuid(), "bench", [output])
        return {"predictions": self._predict(by_column(payload["instances"])).tolist()}


def _values(tensor: InferInput) -> list[Any]:
    """Return what JSON and gRPC have as it is, and bytes as numpy reads them."""
    return tensor.data if isinstance(tensor.data, list) else plain(tensor.as_numpy())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model-path", type=Path, required=True, help="the bundle's directory")
    parser.add_argument("--http-port", type=int, required=True, help="where to listen")
    parser.add_argument("--grpc-port", type=int, help="where to listen for gRPC too")
    parser.add_argument("--runtime", choices=("litert", "saved_model"), required=True, help="what computes")
    arguments = parser.parse_args()
    load = {"litert": load_litert, "saved_model": load_saved_model}[arguments.runtime]
    grpc = {"enable_grpc": False}
    if arguments.grpc_port:
        grpc = {"enable_grpc": True, "grpc_port": arguments.grpc_port}
    ModelServer(http_port=arguments.http_port, workers=1, **grpc).start(
        [PeerModel(load(arguments.model_path))]
    )
