"""FastAPI on uvicorn, with the same network in ONNX Runtime."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from benchmarks.serving.peers.bundles import Predict, by_column, load_onnx


class PredictRequest(BaseModel):
    """V1's body."""

    instances: list[dict[str, Any]]


def make_application(predict: Predict) -> FastAPI:
    """Return an application of one path."""
    application = FastAPI()

    # Not `def`: FastAPI would hand each request to a thread.
    @application.post("/v1/models/bench:predict")
    async def answer(request: PredictRequest) -> dict[str, Any]:
        return {"predictions": predict(by_column(request.instances)).tolist()}

    @application.get("/ready")
    async def ready() -> dict[str, bool]:
        return {"ready": True}

    return application


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model-path", type=Path, required=True, help="the bundle's directory")
    parser.add_argument("--onnx-path", type=Path, required=True, help="the network")
    parser.add_argument("--http-port", type=int, required=True, help="where to listen")
    arguments = parser.parse_args()
    uvicorn.run(
        make_application(load_onnx(arguments.model_path, arguments.onnx_path)),
        host="127.0.0.1",
        port=arguments.http_port,
        access_log=False,
        log_level="warning",
    )
