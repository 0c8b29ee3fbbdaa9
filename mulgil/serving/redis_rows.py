"""Rows out of one hash in Redis, without a request waiting for another's answer.

All requests share one connection: their commands are written as they come and answered in that order, so that
many are under way at once and none needs a connection of its own. redis-py's asynchronous client costs more
processor time a command than the prediction does; hiredis, the parser that it uses, is used here alone.

Source:
    https://redis.io/docs/latest/develop/reference/protocol-spec (RESP2), and `HMGET`.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, cast
from urllib.parse import unquote, urlsplit

import hiredis

from mulgil.errors import InputError, describe
from mulgil.serving.messages import RequestError

# A lookup in the same network takes a tenth of a millisecond; a request that waits longer than this is better
# answered by a 503. Chosen by eye.
TIMEOUT_SECONDS = 0.25
_LOOK_SECONDS = 0.05
# How long after a connection that failed nobody tries again.
_BACK_OFF_SECONDS = 0.5

Rows = list[bytes | None]
Answer = asyncio.Future[Rows]


class RedisRows:
    """The rows of one hash.

    Args:
        url: `redis://[[user]:password@]host[:port][/database]`, `rediss://` for TLS, or `unix://path`.
        name: The hash.
        refuse: Turns a reason into what the client is told, and logs it.

    Raises:
        InputError: The address is not one of Redis.
    """

    def __init__(self, url: str, name: str, refuse: Callable[[str], RequestError]) -> None:
        self._address = _Address(url)
        self._name = name.encode()
        self._refuse = refuse
        self._connection: _Connection | None = None
        self._connecting: asyncio.Task[_Connection] | None = None
        self._quiet_until = 0.0
        self._last_reason = ""

    def read(self, keys: Sequence[bytes]) -> Answer:
        """Begin to read rows by key.

        Raises:
            RequestError: 503; Redis was not there a moment ago.
        """
        command = _pack(b"HMGET", self._name, *keys)
        if self._connection is not None and self._connection.is_open:
            return self._connection.send(command)
        loop = asyncio.get_running_loop()
        if self._connecting is None:
            if loop.time() < self._quiet_until:
                raise self._refuse(self._last_reason)
            self._connecting = loop.create_task(self._connect())
        return asyncio.ensure_future(self._send_later(self._connecting, command))

    async def _send_later(self, connecting: asyncio.Task[_Connection], command: bytes) -> Rows:
        # One that goes away while it waits takes nobody else's connection with it.
        connection = await asyncio.shield(connecting)
        return await connection.send(command)

    async def _connect(self) -> _Connection:
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                self._connection = await self._address.open(self._refuse)
        except (OSError, TimeoutError, hiredis.HiredisError) as exc:
            self._last_reason = f"Redis at {self._address}: {str(exc) or 'no answer in time'}"
            self._quiet_until = asyncio.get_running_loop().time() + _BACK_OFF_SECONDS
            raise self._refuse(self._last_reason) from exc
        finally:
            self._connecting = None
        return self._connection


class _Connection(asyncio.Protocol):
    """One connection, and the answers that it still owes."""

    def __init__(self, address: _Address, refuse: Callable[[str], RequestError]) -> None:
        self.is_open = False
        self._address = address
        self._refuse = refuse
        self._reader = hiredis.Reader()
        self._owed: deque[tuple[float, Answer]] = deque()
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._looking: asyncio.TimerHandle | None = None

    def send(self, command: bytes) -> Answer:
        """Send a command; its answer comes, or fails with a RequestError."""
        answer: Answer = self._loop.create_future()
        self._owed.append((self._loop.time() + TIMEOUT_SECONDS, answer))
        self._transport.write(command)
        if self._looking is None:
            self._looking = self._loop.call_later(_LOOK_SECONDS, self._look)
        return answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        """Hand each answer to whom it is owed, in order."""
        self._reader.feed(data)
        try:
            while self._owed and (reply := self._reader.gets()) is not False:
                _, answer = self._owed.popleft()
                if answer.done():
                    continue
                if isinstance(reply, hiredis.ReplyError):
                    answer.set_exception(self._refuse(f"Redis at {self._address}: {reply}"))
                else:
                    answer.set_result(cast("Rows", reply))
        except hiredis.ProtocolError as exc:
            self._give_up(f"Redis at {self._address} does not speak its protocol: {exc}")

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._give_up(f"Redis at {self._address} closed the connection: {exc or 'without a reason'}")

    def _look(self) -> None:
        """Give the connection up where the oldest answer is too late: those behind it are too."""
        self._looking = None
        if self._owed and self._owed[0][0] < self._loop.time():
            self._give_up(f"Redis at {self._address} did not answer within {TIMEOUT_SECONDS} s")
        elif self._owed:
            self._looking = self._loop.call_later(_LOOK_SECONDS, self._look)

    def _give_up(self, reason: str) -> None:
        self.is_open = False
        self._transport.abort()
        owed, self._owed = self._owed, deque()
        # Said once, however many wait.
        waiting = [answer for _, answer in owed if not answer.done()]
        if waiting:
            error = self._refuse(reason)
            for answer in waiting:
                answer.set_exception(RequestError(error.status, error.message))


class _Address:
    """Where Redis is, and how one comes in. As text it has no password."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._is_unix = parts.scheme == "unix"
        try:
            port = parts.port
            database = "" if self._is_unix else parts.path.strip("/")
            is_right = parts.scheme in ("redis", "rediss", "unix") and (not database or database.isdigit())
            if not is_right:
                raise ValueError("not an address of Redis")
        except ValueError as exc:
            raise InputError(
                describe(
                    "The address of Redis cannot be read",
                    expected="redis://HOST:PORT/DATABASE, rediss://… or unix://PATH",
                    # It may have a password.
                    received=f"{parts.scheme}://…",
                )
            ) from exc
        self._path = unquote(parts.path)
        self._host, self._port = parts.hostname or "localhost", port or 6379
        self._tls = ssl.create_default_context() if parts.scheme == "rediss" else None
        self._greeting: list[tuple[str, ...]] = []
        if parts.password:
            user = (unquote(parts.username),) if parts.username else ()
            self._greeting.append(("AUTH", *user, unquote(parts.password)))
        if database and database != "0":
            self._greeting.append(("SELECT", database))

    def __str__(self) -> str:
        return self._path if self._is_unix else f"{self._host}:{self._port}"

    async def open(self, refuse: Callable[[str], RequestError]) -> _Connection:
        """Connect, and come in.

        Raises:
            OSError: Nobody is there, or we are not let in.
        """
        loop = asyncio.get_running_loop()

        def make() -> _Connection:
            return _Connection(self, refuse)

        connection: Any
        if self._is_unix:
            _, connection = await loop.create_unix_connection(make, self._path)
        else:
            _, connection = await loop.create_connection(make, self._host, self._port, ssl=self._tls)
        for command in self._greeting:
            try:
                await connection.send(_pack(*command))
            except RequestError as exc:
                raise ConnectionRefusedError(f"it refused {command[0]}") from exc
        return cast("_Connection", connection)


def _pack(*words: bytes | str) -> bytes:
    command: bytes = hiredis.pack_command(words)  # type: ignore[arg-type]
    return command
