"""One revision's server: how it is started, and how it is asked whether it is ready."""

from __future__ import annotations

import http.client
import socket
import sys
from pathlib import Path

from mulgil.local.plane.envoy_config import HOST
from mulgil.local.plane.objects import Predictor

# The variable that the ServingRuntime passes on as `--model-version`.
VERSION_VARIABLE = "MODEL_VERSION"

_ANSWER_SECONDS = 0.5


def command_line(predictor: Predictor, *, name: str, revision: str, model_path: Path, port: int) -> list[str]:
    """Return the server's command: what the ServingRuntime runs in a container."""
    return [
        # Without the folder that the plane happened to be started from on the module path.
        *(sys.executable, "-P", "-m", "mulgil.serving"),
        *("--model-name", name),
        *("--model-path", str(model_path)),
        *("--model-version", predictor.environment.get(VERSION_VARIABLE, revision)),
        *("--http-port", str(port), "--host", HOST),
        # Envoy has left it before it is told to stop.
        *("--drain-seconds", "0"),
        *predictor.model.args,
    ]


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def is_ready(port: int, name: str) -> bool:
    """Ask a server whether its model is ready."""
    connection = http.client.HTTPConnection(HOST, port, timeout=_ANSWER_SECONDS)
    try:
        connection.request("GET", f"/v2/models/{name}/ready")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
