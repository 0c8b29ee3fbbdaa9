"""One revision's server: how it is started, and how it is asked whether it is ready."""

from __future__ import annotations

import http.client
import socket
import sys
from pathlib import Path

from mulgil.local.plane import fetch_model, server_container, storage
from mulgil.local.plane.envoy_config import HOST
from mulgil.local.plane.objects import Predictor
from mulgil.local.plane.revisions import ServiceKey

# The variable that the ServingRuntime passes on as `--model-version`.
VERSION_VARIABLE = "MODEL_VERSION"

_ANSWER_SECONDS = 0.5


def command_line(
    predictor: Predictor,
    key: ServiceKey,
    *,
    revision: str,
    port: int,
    grpc_port: int | None,
    volumes: Path,
    models: Path,
    collector_url: str | None,
    folder: Path,
) -> list[str]:
    """Return the server's command: what the ServingRuntime runs in a container.

    Args:
        predictor: What is served.
        key: The service.
        revision: Its version, where the predictor names none.
        port: Where it is to listen.
        grpc_port: Where it is to speak gRPC; `None` for nowhere.
        volumes: Folder of the claims.
        models: Folder of the models that were fetched.
        collector_url: Where predictions are recorded, where the predictor names no other.
        folder: The plane's.

    Raises:
        InputError: The model's volume is not on this machine.
    """
    uri = predictor.model.storageUri
    path = fetch_model.MODEL_PATH if storage.is_remote(uri) else str(storage.local_path(uri, volumes))
    recording = _recording(predictor, key, collector_url)
    arguments = [
        *("--model-version", predictor.environment.get(VERSION_VARIABLE, revision)),
        # Envoy has left it before it is told to stop.
        *("--drain-seconds", "0"),
        *recording,
        *predictor.model.args,
        # Last, where an abbreviation could otherwise say something else.
        *("--model-name", key.name, "--model-path", path),
        *("--http-port", str(port)),
        *(("--grpc-port", str(grpc_port)) if grpc_port is not None else ()),
    ]
    # Without the folder that the plane happened to be started from on the module path.
    command = [sys.executable, "-P", "-m"]
    if predictor.server_image is None:
        command += ["mulgil.serving", *arguments, "--host", HOST]
    else:
        contained = server_container.contain(
            predictor.server_image,
            arguments,
            predictor=predictor,
            model_path=path,
            ports=(port,) if grpc_port is None else (port, grpc_port),
            folder=folder,
            is_recorded=bool(recording),
        )
        command += ["mulgil.local.plane.server_container", *contained]
    if not storage.is_remote(uri):
        return command
    return [
        *(sys.executable, "-P", "-m", "mulgil.local.plane.fetch_model"),
        *("--storage-uri", uri, "--cache-path", str(models), "--", *command),
    ]


def _recording(predictor: Predictor, key: ServiceKey, collector_url: str | None) -> list[str]:
    url = predictor.logger and (predictor.logger.url or collector_url)
    return ["--log-url", url, "--namespace", key.namespace] if url else []


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
