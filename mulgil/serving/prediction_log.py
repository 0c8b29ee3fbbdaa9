"""Predictions as CloudEvents to a collector, out of the request path.

A request leaves what it was in a buffer and is answered. Its events are written with those of a few others
and a task of the same event loop sends them, a few hundred at a time; what the collector does not take is
sent again, and what finds the buffer full is counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from mulgil.errors import InputError, describe
from mulgil.serving.event_batches import EventBatch, EventBatches
from mulgil.serving.event_writer import EventWriter, Record
from mulgil.serving.logs import write_event
from mulgil.serving.messages import Request, Response
from mulgil.serving.metrics import DROPPED, SENT

BATCH_TYPE = "application/cloudevents-batch+json"

# Half a second of the greatest load measured; an event counts by its bytes too. Chosen by eye.
_MOST_RECORDS = 20_000
_MOST_BYTES = 64 * 1024 * 1024
_TICK_SECONDS = 0.1
# Records that are written together: alone each would find the code for it out of the processor's
# cache, which costs several times what the writing does. Measured at 4 to 64, which hardly differ.
_TOGETHER = 16
# But a request of so many bytes is not kept for it.
_LONG_BODY = 64 * 1024
_TIMEOUT_SECONDS = 10.0
_LEAST_WAIT_SECONDS, _GREATEST_WAIT_SECONDS = 0.2, 10.0
_TELL_SECONDS = 10.0


class PredictionLog:
    """The records of one server on their way to a collector.

    Args:
        url: Of the collector: `http://HOST:PORT/…`, or `https://`.
        service: The `InferenceService`.
        namespace: Its namespace.
        version: The model's.
        description: What the columns mean: the bundle's dictionary, and the output's name.
        count: Told what becomes of records, and of how many.

    Attributes:
        dropped: Records that are lost.

    Raises:
        InputError: The address is not one of HTTP.
    """

    def __init__(
        self,
        url: str,
        *,
        service: str,
        namespace: str,
        version: str,
        description: dict[str, Any],
        count: Callable[[str, float], None],
    ) -> None:
        self._count = count
        self.dropped = 0
        self._is_batch_closed = asyncio.Event()
        self._batches = EventBatches(_MOST_RECORDS, _MOST_BYTES, self._is_batch_closed.set)
        # That have come, and are not written yet.
        self._records: list[Record] = []
        self._collector = _Collector(url)
        self._writer = EventWriter(service, namespace, version, description)
        self._task: asyncio.Task[None] | None = None
        self._told_at = 0.0

    @property
    def buffered(self) -> int:
        """Records that wait to be sent."""
        return self._batches.records + len(self._records)

    def append(
        self,
        protocol: bytes,
        identifier: bytes,
        request: Request,
        response: Response,
        begun: float,
        ended: float,
    ) -> None:
        """Keep one prediction request, or count it lost.

        Args:
            protocol: `v1`, `v2` or `grpc`.
            identifier: That the client was told.
            request: As it came, with the rows that were read for it.
            response: As it went.
            begun: By `time.perf_counter`.
            ended: Likewise.
        """
        records = self._records
        records.append((protocol, identifier, request, response, begun, ended))
        if len(records) >= _TOGETHER or len(request.body) > _LONG_BODY:
            self._write_all()

    def _write_all(self) -> None:
        """Write the events of the records that have come."""
        records = self._records
        if not records:
            return
        events, count = self._writer.write(records), len(records)
        records.clear()
        if not self._batches.add(events, count):
            self._lose(count)

    def start(self) -> None:
        """Begin to send, in the running loop."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self, seconds: float) -> None:
        """Send what is left, for so long at most."""
        deadline = time.monotonic() + seconds
        while self.buffered and time.monotonic() < deadline:
            await asyncio.sleep(_TICK_SECONDS / 2)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._collector.close()
        if self.buffered:
            self._lose(self.buffered)
        if self.dropped:
            write_event(f"prediction log: {self.dropped} records were lost", level="error")

    async def _run(self) -> None:
        while True:
            self._write_all()
            batch = self._batches.first()
            # What comes while a batch is sent waits for the next tick, or for enough of its like.
            while batch is not None:
                is_taken = await self._deliver(batch)
                # Only now are they not the buffer's any more: an interrupt before counts them.
                self._batches.drop_first()
                if is_taken:
                    self._count(SENT, batch.records)
                else:
                    self._lose(batch.records)
                batch = self._batches.first() if self._batches.has_closed else None
            self._is_batch_closed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TICK_SECONDS):
                    await self._is_batch_closed.wait()

    async def _deliver(self, batch: EventBatch) -> bool:
        """Send until it is taken, or refused for good."""
        wait = _LEAST_WAIT_SECONDS
        while True:
            try:
                await self._collector.post(batch, self._writer.hello)
                return True
            except _RefusedError as exc:
                self._tell(f"the collector at {self._collector} refuses what is sent ({exc})")
                return False
            except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError) as exc:
                self._collector.close()
                self._tell(f"the collector at {self._collector} does not take it ({str(exc) or 'no answer'})")
            await asyncio.sleep(wait)
            wait = min(2 * wait, _GREATEST_WAIT_SECONDS)

    def _lose(self, count: int) -> None:
        self.dropped += count
        self._count(DROPPED, count)
        self._tell(f"{self.dropped} records are lost so far")

    def _tell(self, message: str) -> None:
        """Say it, but not for each record."""
        now = time.monotonic()
        if now >= self._told_at:
            self._told_at = now + _TELL_SECONDS
            write_event(f"prediction log: {message}", level="warning")


class _RefusedError(Exception):
    """The collector does not want it, now or later."""


class _Collector:
    """One connection to the collector, opened when it is needed.

    Args:
        url: Its address.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        try:
            port = parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError:
            port = 0
        if parts.scheme not in ("http", "https") or not parts.hostname or not port:
            raise InputError(
                describe(
                    "The prediction log's address cannot be read",
                    expected="http://HOST:PORT or https://HOST:PORT",
                    received=url[:200],
                )
            )
        self._host, self._port = parts.hostname, port
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._head = b"POST %b HTTP/1.1\r\nHost: %b\r\nContent-Type: %b\r\nContent-Length: " % (
            (parts.path or "/").encode(),
            parts.netloc.rpartition("@")[2].encode(),
            BATCH_TYPE.encode(),
        )
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    def __str__(self) -> str:
        return f"{self._host}:{self._port}"

    async def post(self, batch: EventBatch, hello: bytes) -> None:
        """Send a batch and wait for its acknowledgement; `hello` goes first on a new connection.

        Raises:
            OSError: It is not there, or says no.
        """
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            first = b""
            if self._streams is None:
                self._streams = await asyncio.open_connection(self._host, self._port, ssl=self._tls)
                first = b"%b," % hello
            reader, writer = self._streams
            head = b"%b%d\r\n\r\n[%b" % (self._head, len(first) + batch.length + 2, first)
            # Not as one: a batch is as long as a processor's cache.
            writer.writelines([head, *batch.parts, b"]"])
            await writer.drain()
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            status = int(head.split(b" ", 2)[1])
            length = head.partition(b"content-length:")[2].partition(b"\r\n")[0].strip()
            answer = await reader.readexactly(int(length or b"0"))
            if b"connection: close" in head:
                self.close()
        if not 200 <= status < 300:
            reason = f"{status} {answer[:200].decode(errors='replace')}"
            # Sent again it would be refused again, and all that follows it would wait for ever.
            is_final = 400 <= status < 500 and status not in (408, 429)
            raise _RefusedError(reason) if is_final else ConnectionRefusedError(reason)

    def close(self) -> None:
        """Let the connection go."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None
