"""Who is measured: ourselves, the bare limit, and the peers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_PEERS = "benchmarks.serving.peers"
_V1, _V2 = "/v1/models/bench:predict", "/v2/models/bench/infer"


@dataclass(frozen=True)
class Contender:
    """A server that can be started.

    Attributes:
        name: In the results.
        module: What `python -m` runs.
        flags: Its flags, beside the bundle's and the ports.
        paths: Where it answers which protocol.
        environment: Whose requirements it needs; `None` for ours.
        ready_path: What answers once it is ready.
        speaks_grpc: Whether it can.
    """

    name: str
    module: str
    flags: tuple[str, ...] = ()
    paths: Mapping[str, str] = field(default_factory=lambda: {"v1": _V1, "v2": _V2})
    environment: str | None = None
    ready_path: str = "/v2/health/ready"
    speaks_grpc: bool = False


def list_contenders(log_url: str, onnx: Path) -> list[Contender]:
    """Return all.

    Args:
        log_url: Where our prediction log goes.
        onnx: The network in ONNX.
    """
    named = ("--model-name", "bench", "--model-version", "1")
    predict = {"v1": "/predict"}
    return [
        Contender("mulgil", "mulgil.serving", (*named, "--log-url", log_url), speaks_grpc=True),
        Contender("mulgil_no_log", "mulgil.serving", named, speaks_grpc=True),
        Contender("bare", f"{_PEERS}.bare"),
        Contender("kserve_litert", f"{_PEERS}.kserve_model", ("--runtime", "litert"), speaks_grpc=True),
        Contender("kserve_saved_model", f"{_PEERS}.kserve_model", ("--runtime", "saved_model")),
        Contender("mlserver", f"{_PEERS}.mlserver_model", paths={"v2": _V2}, environment="mlserver"),
        Contender(
            "bentoml", f"{_PEERS}.bentoml_model", paths=predict, environment="bentoml", ready_path="/readyz"
        ),
        Contender(
            "litserve",
            f"{_PEERS}.litserve_model",
            paths=predict,
            environment="litserve",
            ready_path="/health",
        ),
        Contender(
            "fastapi_onnx",
            f"{_PEERS}.fastapi_model",
            ("--onnx-path", str(onnx)),
            paths={"v1": _V1},
            environment="fastapi",
            ready_path="/ready",
        ),
        Contender(
            "pytriton",
            f"{_PEERS}.pytriton_model",
            paths={"v2": _V2},
            environment="pytriton",
            ready_path="/v2/models/bench/ready",
            speaks_grpc=True,
        ),
    ]
