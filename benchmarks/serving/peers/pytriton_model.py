"""NVIDIA's PyTriton, with the bundle's LiteRT model."""

from __future__ import annotations

import argparse
import socket
from pathlib import Path
from typing import Any

import numpy as np
from pytriton.decorators import batch
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

from benchmarks.serving.peers.bundles import load_litert, plain
from mulgil.artifacts import BUNDLE_DICTIONARY
from mulgil.contract import ColumnType, DataDictionary

_DTYPES = {
    ColumnType.FLOAT: np.float64,
    ColumnType.INTEGER: np.int64,
    ColumnType.BOOLEAN: np.bool_,
    ColumnType.CATEGORY: np.bytes_,
    ColumnType.IMAGE: np.uint8,
}


def serve(path: Path, http_port: int, grpc_port: int) -> None:
    """Serve until the process is ended."""
    predict = load_litert(path)
    dictionary = DataDictionary.model_validate_json((path / BUNDLE_DICTIONARY).read_bytes())
    columns = dictionary.features
    answer_width = len(dictionary.targets[0].categories or ()) or 1

    images = {column.name: (column.image.height, column.image.width) for column in columns if column.image}

    @batch
    def infer(**tensors: Any) -> dict[str, Any]:
        scores = predict(
            {name: values if name in images else plain(values) for name, values in tensors.items()}
        )
        return {"probability": scores.reshape(-1, answer_width)}

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        metrics_port = listener.getsockname()[1]
    config = TritonConfig(
        http_address="127.0.0.1", http_port=http_port, grpc_port=grpc_port, metrics_port=metrics_port
    )
    with Triton(config=config) as triton:
        triton.bind(
            model_name="bench",
            infer_func=infer,
            inputs=[
                Tensor(name=c.name, dtype=_DTYPES[c.type], shape=images.get(c.name, (1,))) for c in columns
            ],
            outputs=[Tensor(name="probability", dtype=np.float32, shape=(answer_width,))],
            config=ModelConfig(max_batch_size=1024),
        )
        triton.serve()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model-path", type=Path, required=True, help="the bundle's directory")
    parser.add_argument("--http-port", type=int, required=True, help="where to listen")
    parser.add_argument("--grpc-port", type=int, required=True, help="where to listen for gRPC")
    arguments = parser.parse_args()
    serve(arguments.model_path, arguments.http_port, arguments.grpc_port)
