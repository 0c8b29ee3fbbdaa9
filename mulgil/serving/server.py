"""A worker's process: load, listen, and end without losing a request."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import resource
import signal
import time
from typing import Any

import numpy as np
import uvloop

from mulgil.errors import PermanentError, TemporaryError, describe
from mulgil.serving.access import Access
from mulgil.serving.application import Application
from mulgil.serving.bearer_tokens import BearerTokens
from mulgil.serving.http import Connections, HttpConnection
from mulgil.serving.logs import RequestLog, write_event, write_failure
from mulgil.serving.model import ServedModel
from mulgil.serving.options import ServerOptions, WorkerPlace
from mulgil.serving.prediction_log import PredictionLog
from mulgil.serving.shared_numbers import IS_READY, SUPERVISOR, SharedNumbers
from mulgil.serving.tls import ServerTls

# Connections that wait to be accepted, as in kserve and uvicorn.
_BACKLOG = 2048
# How long a request that has begun to arrive may still take once draining is over. Chosen by eye.
_LAST_REQUESTS_SECONDS = 5.0
_LOOK_SECONDS = 0.02
# How often it is looked whether the certificate was renewed, and whether the supervisor still lives.
_SURROUNDINGS_SECONDS = 1.0


def serve_model(options: ServerOptions, worker: WorkerPlace) -> None:
    """Serve a bundle until SIGTERM or SIGINT.

    The port is opened only after the bundle's own example gave the prediction that the bundle says.

    Args:
        options: What is served, and how.
        worker: Which of several workers this process is.

    Raises:
        InputError: The bundle is not whole or not right, or the tokens or the certificate are not.
        TemporaryError: The port is taken.
        PermanentError: The address cannot be listened on.
    """
    # What overflows float32 gives no finite prediction, and the client is told so; a warning adds nothing.
    np.seterr(over="ignore", invalid="ignore")
    begun = time.perf_counter()
    tls = ServerTls(options.certificate) if options.certificate else None
    access = None
    if options.token_path is not None:
        tokens = BearerTokens(options.token_path)
        access = Access(tokens, options.model_name, options.model_version, options.is_metrics_open)
    application = Application(
        ServedModel(options.model_path),
        name=options.model_name,
        version=options.model_version,
        numbers=SharedNumbers(worker.workers, worker.place, worker.memory),
        request_log=RequestLog(options.log_requests),
    )
    if options.log_url is not None:
        application.log = PredictionLog(
            options.log_url,
            service=options.model_name,
            namespace=options.namespace,
            version=options.model_version,
            description=application.description,
            count=lambda outcome, records: application.metrics.log_records.add(outcome, amount=records),
        )
    write_event(
        f"loaded {options.model_name} version {options.model_version} from {options.model_path}",
        seconds=round(time.perf_counter() - begun, 2),
    )
    _allow_descriptors()
    # What was loaded stays: the cycle collector need not look at it again and again.
    gc.collect()
    gc.freeze()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_Worker(application, options, worker, tls, access).run())


class _Worker:
    """One process that listens."""

    def __init__(
        self,
        application: Application,
        options: ServerOptions,
        worker: WorkerPlace,
        tls: ServerTls | None,
        access: Access | None,
    ) -> None:
        self._application = application
        self._options = options
        self._worker = worker
        self._tls = tls
        self._access = access
        self._told_to_stop = asyncio.Event()

    async def run(self) -> None:
        """Listen until told to stop, then drain."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_report)
        self._connections = Connections(
            self._application.handle,
            self._options.limits,
            self._application.metrics.connections,
            self._access.check if self._access else None,
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._told_to_stop.set)
        # Before HTTP, whose readiness stands for both.
        rpc_server = await self._listen_for_grpc()
        server = await self._listen_for_http()
        watching = [loop.create_task(self._connections.sweep()), loop.create_task(self._watch())]
        if self._application.log is not None:
            self._application.log.start()
        self._application.metrics.numbers.own[IS_READY] = 1.0
        await self._told_to_stop.wait()
        write_event(f"draining {len(self._connections)} connections")
        self._application.is_draining = self._connections.is_draining = True
        # Who routes to this server may learn of the end a moment later, so that it answers a while longer.
        await asyncio.sleep(self._options.drain_seconds)
        server.close()
        self._connections.close_idle()
        if rpc_server is not None:
            await rpc_server.stop(_LAST_REQUESTS_SECONDS)
        deadline = loop.time() + _LAST_REQUESTS_SECONDS
        while len(self._connections) and loop.time() < deadline:
            await asyncio.sleep(_LOOK_SECONDS)
        self._connections.abort()
        if self._application.log is not None:
            await self._application.log.stop(_LAST_REQUESTS_SECONDS)
        for task in watching:
            task.cancel()
        write_event("stopped")

    async def _listen_for_grpc(self) -> Any:
        if self._options.grpc_port is None:
            return None
        # Here and not above: who speaks HTTP alone does not pay for gRPC's 13 MB.
        from mulgil.serving.protocol_grpc import GrpcService

        service = GrpcService(self._application, self._access)
        server = await service.start(
            self._options.host,
            self._options.grpc_port,
            limits=self._options.limits,
            is_port_shared=self._worker.is_supervised,
            certificate=self._options.certificate,
        )
        write_event(f"ready on grpc://{self._options.host}:{self._options.grpc_port}")
        return server

    async def _listen_for_http(self) -> asyncio.Server:
        host, port = self._options.host, self._options.http_port
        secure: dict[str, Any] = {}
        if self._tls is not None:
            secure = {"ssl": self._tls.context, "ssl_handshake_timeout": self._options.limits.head_seconds}
        try:
            server = await asyncio.get_running_loop().create_server(
                lambda: HttpConnection(self._connections),
                host,
                port,
                backlog=_BACKLOG,
                reuse_port=self._worker.is_supervised,
                **secure,
            )
        except OSError as exc:
            kind = TemporaryError if exc.errno == errno.EADDRINUSE else PermanentError
            raise kind(
                describe(
                    f"Cannot listen on {host}:{port}", received=str(exc), next_step="choose another port"
                )
            ) from exc
        write_event(f"ready on {'https' if self._tls else 'http'}://{host}:{port}", pid=os.getpid())
        return server

    async def _watch(self) -> None:
        """Look again and again at what changes around the process."""
        while True:
            await asyncio.sleep(_SURROUNDINGS_SECONDS)
            if self._tls is not None:
                self._tls.refresh()
            if self._application.log is not None:
                self._application.metrics.log_buffered.set(self._application.log.buffered)
            if (
                self._worker.is_supervised
                and os.getppid() != self._application.metrics.numbers.own[SUPERVISOR]
            ):
                write_event("the supervisor is gone", level="error")
                self._told_to_stop.set()


def _report(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Write what nobody caught; a client that fails at TLS or leaves is no failure of the server."""
    exc = context.get("exception")
    if isinstance(exc, OSError | ConnectionError):
        return
    if exc is None:
        write_event(context["message"], level="error")
    else:
        write_failure(context["message"], exc)


def _allow_descriptors() -> None:
    """Take as many descriptors as the system lets: each connection is one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
