"""LitServe, with the bundle's LiteRT model."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import litserve

from benchmarks.serving.peers.bundles import by_column, load_litert


class PeerApi(litserve.LitAPI):
    """V1's body at `/predict`."""

    def __init__(self, bundle: Path) -> None:
        super().__init__()
        self._bundle = bundle

    def setup(self, device: str) -> None:
        """Begin, in the process that computes."""
        self._predict = load_litert(self._bundle)

    def predict(self, request: Any) -> Any:
        """Answer one request."""
        return {"predictions": self._predict(by_column(request["instances"])).tolist()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model-path", type=Path, required=True, help="the bundle's directory")
    parser.add_argument("--http-port", type=int, required=True, help="where to listen")
    arguments = parser.parse_args()
    server = litserve.LitServer(PeerApi(arguments.model_path), accelerator="cpu", workers_per_device=1)
    server.run(
        host="127.0.0.1",
        port=arguments.http_port,
        num_api_servers=1,
        generate_client_file=False,
        log_level="warning",
    )
