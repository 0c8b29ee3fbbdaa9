"""BentoML, with the bundle's LiteRT model."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import bentoml

from benchmarks.serving.peers.bundles import by_column, load_litert

_BUNDLE = "BENCHMARK_BUNDLE"


@bentoml.service(workers=1)
class Peer:
    """V1's body at `/predict`."""

    def __init__(self) -> None:
        self._predict = load_litert(Path(os.environ[_BUNDLE]))

    @bentoml.api
    def predict(self, instances: list[dict[str, Any]]) -> dict[str, Any]:
        """Answer one request."""
        return {"predictions": self._predict(by_column(instances)).tolist()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model-path", type=Path, required=True, help="the bundle's directory")
    parser.add_argument("--http-port", type=int, required=True, help="where to listen")
    arguments = parser.parse_args()
    os.environ |= {_BUNDLE: str(arguments.model_path), "BENTOML_DO_NOT_TRACK": "True"}
    service = "benchmarks.serving.peers.bentoml_model:Peer"
    flags = ["--host", "127.0.0.1", "--port", str(arguments.http_port)]
    # The process becomes the server, as from its command line.
    os.execv(sys.executable, [sys.executable, "-m", "bentoml", "serve", service, *flags])
