"""The server's process: load, listen, and end without losing a request."""

from __future__ import annotations

import asyncio
import errno
import gc
import signal
import time
from pathlib import Path

import numpy as np
import uvloop

from mulgil.errors import PermanentError, TemporaryError, describe
from mulgil.serving.application import Application
from mulgil.serving.http import Connections, HttpConnection
from mulgil.serving.model import ServedModel
from mulgil.serving.prediction_log import PredictionLog

# Connections that wait to be accepted, as in kserve and uvicorn.
_BACKLOG = 2048
# How long a request that has begun to arrive may still take once draining is over. Chosen by eye.
_LAST_REQUESTS_SECONDS = 5.0
_LOOK_SECONDS = 0.02


def serve_model(
    *,
    model_name: str,
    model_path: Path,
    model_version: str,
    http_port: int,
    grpc_port: int | None,
    host: str,
    drain_seconds: float,
    log_url: str | None = None,
    namespace: str = "default",
) -> None:
    """Serve a bundle until SIGTERM or SIGINT.

    The port is opened only after the bundle's own example gave the prediction that the bundle says.

    Args:
        model_name: Name in the protocols' paths.
        model_path: The bundle's directory.
        model_version: Version that every response carries.
        http_port: Where to listen for HTTP.
        grpc_port: Where to listen for gRPC; `None` for nowhere.
        host: Address to listen on.
        drain_seconds: How long new requests are still answered after SIGTERM.
        log_url: Of the collector that predictions are recorded at; `None` for nowhere.
        namespace: The service's, in what is recorded.

    Raises:
        InputError: The bundle is not whole or not right.
        TemporaryError: The port is taken.
        PermanentError: The address cannot be listened on.
    """
    # What overflows float32 gives no finite prediction, and the client is told so; a warning adds nothing.
    np.seterr(over="ignore", invalid="ignore")
    begun = time.perf_counter()
    application = Application(ServedModel(model_path), name=model_name, version=model_version)
    if log_url is not None:
        application.log = PredictionLog(
            log_url,
            service=model_name,
            namespace=namespace,
            version=model_version,
            description=application.description,
        )
    seconds = time.perf_counter() - begun
    print(f"loaded {model_name} version {model_version} from {model_path} in {seconds:.2f} s", flush=True)
    # What was loaded stays: the cycle collector need not look at it again and again.
    gc.collect()
    gc.freeze()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(application, host, http_port, grpc_port, drain_seconds))


async def _run(
    application: Application, host: str, port: int, grpc_port: int | None, drain_seconds: float
) -> None:
    loop = asyncio.get_running_loop()
    told_to_stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told_to_stop.set)
    # Before HTTP, whose readiness stands for both.
    rpc_server = None
    if grpc_port is not None:
        # Here and not above: who speaks HTTP alone does not pay for gRPC's 13 MB.
        from mulgil.serving.protocol_grpc import GrpcService

        rpc_server = await GrpcService(application).start(host, grpc_port)
        print(f"ready on grpc://{host}:{grpc_port}", flush=True)
    connections = Connections()
    try:
        server = await loop.create_server(
            lambda: HttpConnection(application.handle, connections), host, port, backlog=_BACKLOG
        )
    except OSError as exc:
        kind = TemporaryError if exc.errno == errno.EADDRINUSE else PermanentError
        raise kind(
            describe(f"Cannot listen on {host}:{port}", received=str(exc), next_step="choose another port")
        ) from exc
    if application.log is not None:
        application.log.start()
    print(f"ready on http://{host}:{port}", flush=True)
    await told_to_stop.wait()
    print(f"draining {len(connections)} connections", flush=True)
    application.is_draining = connections.is_draining = True
    # Who routes to this server may learn of the end a moment later, so that it answers a while longer.
    await asyncio.sleep(drain_seconds)
    server.close()
    connections.close_idle()
    if rpc_server is not None:
        await rpc_server.stop(_LAST_REQUESTS_SECONDS)
    deadline = loop.time() + _LAST_REQUESTS_SECONDS
    while len(connections) and loop.time() < deadline:
        await asyncio.sleep(_LOOK_SECONDS)
    connections.abort()
    if application.log is not None:
        await application.log.stop(_LAST_REQUESTS_SECONDS)
    print("stopped", flush=True)
