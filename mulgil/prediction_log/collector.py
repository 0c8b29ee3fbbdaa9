"""The collector's process: events in, the journal before the answer, Parquet after it."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import msgspec
from pydantic import ValidationError

from mulgil.artifacts import write_text
from mulgil.errors import PermanentError, TemporaryError, describe
from mulgil.prediction_log.events import Event, read_events
from mulgil.prediction_log.halves import (
    Half,
    ModelColumns,
    add_columns,
    columns_of_payload,
    kinds,
    make_half,
)
from mulgil.prediction_log.journal import Journal, read_segment
from mulgil.prediction_log.parquet import write_parts
from mulgil.serving.event_writer import MODEL_TYPE, REQUEST_TYPE, RESPONSE_TYPE
from mulgil.serving.http import Connections, HttpConnection
from mulgil.serving.messages import Request, RequestError, Response, error_response, json_response

# The key that sensitive values are hashed under; without it they are left out. It is a secret: whoever has it
# can try values.
KEY_VARIABLE = "MULGIL_LOG_HASH_KEY"
_DESCRIPTIONS = "descriptions"
_JOURNAL = "journal"
_DRAIN_SECONDS = 2.0

_HALVES = msgspec.msgpack.Decoder(list[Half])


class Collector:
    """What is kept under one folder.

    Args:
        root: The folder.
        pair_seconds: How long a half is kept for the other.
        key: For sensitive values.
    """

    def __init__(self, root: Path, *, pair_seconds: float, key: bytes | None) -> None:
        self._root = root
        self._pair_seconds = pair_seconds
        self._key = key
        # By namespace, service and version; under no version, what was said of a service last.
        self._models: dict[tuple[str, str, str], ModelColumns] = {}
        self._kinds: dict[str, dict[str, str]] = {}
        for path in sorted((root / _DESCRIPTIONS).glob("*.json")):
            self._learn(json.loads(path.read_text(encoding="utf-8")))
        self._journal = Journal(root / _JOURNAL)
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None
        # One thread at a time.
        self._journal_lock = asyncio.Lock()
        self.events = self.records = self.rows = self.alone = 0

    def handle(self, request: Request) -> Response | Awaitable[Response]:
        """Answer a request: events when they are on the disk."""
        try:
            if request.method == "GET":
                return self._report(request.path)
            if request.method != "POST":
                raise RequestError(405, f"Expected POST; received {request.method[:20]}.")
            halves = self.read(read_events(request), time.time())
            content = encode(halves)
        except RequestError as exc:
            return error_response(exc)
        if not halves:
            return json_response({"records": 0})
        return self._keep(content, len(halves))

    def read(self, events: list[Event], received: float) -> list[Half]:
        """Turn events into what is kept, a request and a response that come together into one.

        Raises:
            RequestError: 400; one of them is not right, and none is kept.
        """
        self.events += len(events)
        halves = []
        place = 0
        while place < len(events):
            event = events[place]
            if event.type == MODEL_TYPE:
                self._describe(event)
                place += 1
                continue
            columns = self._columns_of(event)
            follows = events[place + 1] if place + 1 < len(events) else None
            half = make_half(event, columns, received)
            if (
                follows is not None
                and event.type == REQUEST_TYPE
                and follows.type == RESPONSE_TYPE
                and (follows.id, follows.source) == (event.id, event.source)
            ):
                half = half.joined(make_half(follows, columns, received))
                if columns is not None:
                    add_columns(half, event, follows, columns)
                place += 1
            elif columns is not None and half.has_request:
                columns_of_payload(half, event.body, columns)
            halves.append(half)
            place += 1
        return halves

    def _columns_of(self, event: Event) -> ModelColumns | None:
        return self._models.get((event.namespace, event.inferenceservicename, event.modelversion))

    async def flush(self) -> None:
        """Write what is finished as Parquet, and forget its journal."""
        async with self._journal_lock:
            segments = self._journal.turn()
        if not segments:
            return
        try:
            early = await asyncio.to_thread(self._write_segments, segments)
        except OSError:
            # The disk's fault: the next flush tries again.
            raise
        except Exception as exc:  # noqa: BLE001 - one odd record must not stop all that follow
            for path in segments:
                path.replace(path.with_suffix(".set-aside"))
            names = ", ".join(path.name for path in segments)
            print(f"cannot be written as Parquet, set aside: {names}: {exc}", flush=True)
            return
        if early:
            # Before their segments go: a crash in between leaves them twice, and a reader tells them by id.
            await self._append([encode(early)])
        for path in segments:
            path.unlink()

    def close(self) -> None:
        """Leave the journal."""
        self._journal.close()

    def _write_segments(self, segments: list[Path]) -> list[Half]:
        """Write the segments' records; return the halves whose other half may still come."""
        by_key: dict[tuple[str, str], Half] = {}
        for path in segments:
            for content in read_segment(path):
                for half in _HALVES.decode(content):
                    key = half.source, half.id
                    known = by_key.get(key)
                    by_key[key] = half if known is None else known.joined(half)
        oldest = time.time() - self._pair_seconds
        early = [
            half
            for half in by_key.values()
            if not (half.has_request and half.has_response) and half.received > oldest
        ]
        for half in early:
            del by_key[half.source, half.id]
        self.alone += sum(not (half.has_request and half.has_response) for half in by_key.values())
        self.rows += write_parts(self._root, segments[0].stem, by_key.values(), self._kinds)
        return early

    async def _append(self, contents: list[bytes]) -> None:
        async with self._journal_lock:
            await asyncio.to_thread(self._journal.append, contents)

    async def _keep(self, content: bytes, count: int) -> Response:
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((content, done))
        if self._writing is None:
            self._writing = asyncio.get_running_loop().create_task(self._write())
        try:
            await done
        except OSError as exc:
            return error_response(RequestError(503, f"The events cannot be kept: {exc.strerror}."))
        self.records += count
        return json_response({"records": count})

    async def _write(self) -> None:
        """Put on the disk in one go what came meanwhile."""
        while self._waiting:
            waiting, self._waiting = self._waiting, []
            try:
                await self._append([content for content, _ in waiting])
            except OSError as exc:
                print(f"cannot write the journal: {exc}", flush=True)
                for _, done in waiting:
                    done.set_exception(exc)
            else:
                for _, done in waiting:
                    done.set_result(None)
        self._writing = None

    def _describe(self, event: Event) -> None:
        try:
            description = msgspec.json.decode(event.body) | {"namespace": event.namespace}
            columns = self._learn(description)
        except (msgspec.DecodeError, ValidationError, KeyError, TypeError) as exc:
            # Its predictions are kept all the same, without their columns.
            print(f"{event.source}: a description that cannot be read: {str(exc)[:500]}", flush=True)
            return
        path = self._root / _DESCRIPTIONS / f"{columns.fingerprint}-{_plain(description)}.json"
        if not path.exists():
            write_text(path, json.dumps(description))

    def _learn(self, description: dict[str, Any]) -> ModelColumns:
        columns = ModelColumns(description, self._key)
        namespace = description.get("namespace", "")
        for version in (description["version"], ""):
            self._models[namespace, description["model"], version] = columns
        self._kinds[columns.fingerprint] = kinds(columns.columns)
        return columns

    def _report(self, path: str) -> Response:
        if path == "/metrics":
            counts = {"events": self.events, "records": self.records, "rows": self.rows, "alone": self.alone}
            lines = [
                f"# TYPE mulgil_collector_{name}_total counter\nmulgil_collector_{name}_total {count}\n"
                for name, count in counts.items()
            ]
            return Response(200, "".join(lines).encode(), b"text/plain; version=0.0.4; charset=utf-8")
        return json_response({"status": "alive"})


def collect_predictions(
    *, root_path: Path, http_port: int, host: str, flush_seconds: float, pair_seconds: float
) -> None:
    """Collect until SIGTERM or SIGINT.

    Args:
        root_path: The folder that predictions are kept in.
        http_port: Where to listen.
        host: Address to listen on.
        flush_seconds: How often what came is written as Parquet.
        pair_seconds: How long a request is kept for its response, where they come apart.

    Raises:
        TemporaryError: The port is taken.
        PermanentError: The folder or the address cannot be used.
    """
    key = os.environ.get(KEY_VARIABLE)
    try:
        collector = Collector(root_path, pair_seconds=pair_seconds, key=key.encode() if key else None)
    except OSError as exc:
        raise PermanentError(
            describe(
                f"Cannot keep predictions in {root_path}: {exc.strerror}", next_step="give another folder"
            )
        ) from exc
    asyncio.run(_run(collector, host, http_port, flush_seconds))


async def _run(collector: Collector, host: str, port: int, flush_seconds: float) -> None:
    loop = asyncio.get_running_loop()
    told_to_stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told_to_stop.set)
    connections = Connections(collector.handle)
    sweeping = loop.create_task(connections.sweep())
    try:
        server = await loop.create_server(lambda: HttpConnection(connections), host, port)
    except OSError as exc:
        kind = TemporaryError if exc.errno == errno.EADDRINUSE else PermanentError
        raise kind(
            describe(f"Cannot listen on {host}:{port}", received=str(exc), next_step="choose another port")
        ) from exc
    print(f"ready on http://{host}:{port}", flush=True)
    while not told_to_stop.is_set():
        # What a process before left is written first.
        await _flush(collector)
        try:
            async with asyncio.timeout(flush_seconds):
                await told_to_stop.wait()
        except TimeoutError:
            continue
    connections.is_draining = True
    server.close()
    connections.close_idle()
    deadline = loop.time() + _DRAIN_SECONDS
    while len(connections) and loop.time() < deadline:
        await asyncio.sleep(0.02)
    connections.abort()
    sweeping.cancel()
    await _flush(collector)
    collector.close()
    print(f"stopped; {collector.records} records, {collector.rows} rows", flush=True)


async def _flush(collector: Collector) -> None:
    try:
        await collector.flush()
    except OSError as exc:
        # The journal stays; the next flush tries again.
        print(f"cannot write Parquet: {exc}", flush=True)


def encode(halves: list[Half]) -> bytes:
    """Write what the journal has of halves.

    Raises:
        RequestError: 400; a number or a text is none that there can be on a disk.
    """
    try:
        return msgspec.msgpack.encode(halves)
    except (OverflowError, UnicodeEncodeError) as exc:
        raise RequestError(400, f"An event has a value that cannot be kept: {exc}.") from exc


def _plain(description: dict[str, Any]) -> str:
    return "-".join(
        "".join(c if c.isalnum() or c in "._-" else "_" for c in str(description.get(name, "")))[:60]
        for name in ("namespace", "model", "version")
    )
