"""HTTP/1.1 on asyncio: one connection, parsed by httptools, answered in order.

The application is called as a plain function as soon as a request has arrived whole, so that pipelined
requests are answered in order by construction, and a request is either not begun or done. Only where the
application has to wait does its answer take its place in the order later.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import cast

import httptools

from mulgil.serving.limits import Limits
from mulgil.serving.messages import Request, RequestError, Response, error_response
from mulgil.serving.metrics import CONNECTIONS, MEMORY, WAIT, ConnectionCounts

Handler = Callable[[Request], Response | Awaitable[Response]]
# Says what is wrong with who asks for a path, before the body is read.
Guard = Callable[[str, dict[bytes, bytes]], RequestError | None]

# How long a refused client is listened to, so that it reads the refusal before its connection is reset.
_LINGER_SECONDS = 1.0
# How often deadlines are looked at.
_SWEEP_SECONDS = 0.25
# Turns of the event loop that follow each other closer than this are taken for one. Chosen by eye.
_SHORT_TURN_SECONDS = 0.001
# What pipelined requests may be answered with in one write; whoever asks for more asks again. Chosen by eye.
_GREATEST_ANSWERS_BYTES = 4 * 1024 * 1024
_RETRY = b"Retry-After: 1\r\n"

_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}


class Connections:
    """The open connections of a server, and what they may take together.

    Args:
        handle: The application. It raises nothing.
        limits: What they may take.
        counts: Where they are counted; nowhere else if left out.
        guard: Who may ask; anybody without it.

    Attributes:
        handle: The application.
        limits: What they may take.
        guard: Who may ask.
        shed: Counts whom there was no room for.
        is_draining: Every answer now closes its connection.
        held_bytes: Of the requests that have begun to arrive and are not whole.
    """

    def __init__(
        self,
        handle: Handler,
        limits: Limits | None = None,
        counts: ConnectionCounts | None = None,
        guard: Guard | None = None,
    ) -> None:
        self.handle = handle
        self.limits = limits or Limits()
        self.guard = guard
        self._counts = counts or ConnectionCounts()
        self.shed = self._counts.shed.add
        self.is_draining = False
        self.held_bytes = 0
        self._loop = asyncio.get_running_loop()
        self._turn_began, self._is_turn_long = 0.0, False
        self._open: set[HttpConnection] = set()

    def __len__(self) -> int:
        return len(self._open)

    def turn_began(self, now: float) -> float:
        """Return when this turn of the event loop began to read what has come; all of it waits since then.

        To be told of a turn's end costs one more turn. Only one that is long asks for it: of a short one the
        beginning is never off by more than what is short.
        """
        if now - self._turn_began > _SHORT_TURN_SECONDS and not self._is_turn_long:
            self._turn_began, self._is_turn_long = now, True
            self._loop.call_soon(self._end_turn)
        return self._turn_began

    def admit(self, connection: HttpConnection) -> bool:
        """Count a connection in; return whether there is room for it."""
        self._counts.connections.add()
        self._open.add(connection)
        if len(self._open) <= self.limits.connections:
            return True
        idle = [one for one in self._open if one.is_idle and one is not connection]
        if idle:
            min(idle, key=lambda one: one.since).close_if_idle()
            return True
        return False

    def discard(self, connection: HttpConnection) -> None:
        """Count a connection out."""
        if connection in self._open:
            self._open.discard(connection)
            self._counts.connections.add(amount=-1.0)

    def hold(self, requests: int, bytes_: int) -> None:
        """Count requests that have begun to arrive, and their bytes."""
        self._counts.in_flight.add(amount=requests)
        self.held_bytes += bytes_

    def _end_turn(self) -> None:
        self._is_turn_long = False

    async def sweep(self) -> None:
        """End the connections whose time is over, again and again."""
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            now = time.monotonic()
            for connection in list(self._open):
                connection.end_if_overdue(now)

    def close_idle(self) -> None:
        """Close those on which no request has begun."""
        for connection in list(self._open):
            connection.close_if_idle()

    def abort(self) -> None:
        """Cut all that is left."""
        for connection in list(self._open):
            connection.abort()


class _LaterAnswer:
    """The place of an answer that is not there yet.

    Attributes:
        content: The answer, once there is one.
        task: What waits for it.
    """

    __slots__ = ("content", "task")

    def __init__(self) -> None:
        self.content: bytes | None = None
        self.task: asyncio.Task[None] | None = None


class HttpConnection(asyncio.Protocol):
    """One client's connection.

    Args:
        connections: Whose it is one of.

    Attributes:
        since: When what the connection waits for began: a request, the rest of one, or its answer's reader.
    """

    def __init__(self, connections: Connections) -> None:
        self._handle = connections.handle
        self._limits = connections.limits
        self._connections = connections
        self.since = time.monotonic()
        self._transport: asyncio.Transport
        self._parser: httptools.HttpRequestParser | None = None
        self._answers: deque[bytes | _LaterAnswer] = deque()
        self._answers_bytes = 0
        self._is_closing = False
        self._is_begun = False
        self._is_answered = False
        self._is_unread = False
        self._is_held, self._held_bytes = False, 0
        self._turn_began = 0.0
        # Of the request that is arriving.
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._body: bytes | bytearray = b""
        self._received_bytes = 0
        self._is_head_read = False

    @property
    def is_idle(self) -> bool:
        """Whether it waits for a request."""
        return not (self._is_begun or self._is_closing or self._answers)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        # uvloop's transport has a Transport's methods without being one by inheritance.
        self._transport = cast("asyncio.Transport", transport)
        self._parser = httptools.HttpRequestParser(self)
        if not self._connections.admit(self):
            self._shed(CONNECTIONS, "The server has no room for one more connection.")
            self._flush()
            if len(self._connections) > 2 * self._limits.connections:
                # Not even room for those that are being told.
                self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._let_go()
        self._connections.discard(self)
        # The parser holds this connection's methods: without this, both wait for the cycle collector.
        self._parser = None

    def pause_writing(self) -> None:
        """Stop reading from a client that does not read its answers."""
        self._is_unread = True
        self.since = time.monotonic()
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on once it has."""
        self._is_unread = False
        self.since = time.monotonic()
        if not self._answers:
            self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        """Parse what came, and answer every request that it completes in one write."""
        if self._is_closing or self._parser is None:
            return
        self._turn_began = self._connections.turn_began(time.monotonic())
        # Where a request begins within the data this starts from 0 again, and counts what follows.
        self._received_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse(RequestError(400, "This server does not upgrade connections: leave `Upgrade` out."))
        except httptools.HttpParserError as exc:
            self._refuse(RequestError(400, f"The request is not HTTP/1.1: {exc}."))
        else:
            if self._is_begun:
                self._hold()
            else:
                self.since = self._turn_began
        self._flush()

    def end_if_overdue(self, now: float) -> None:
        """End where what the connection waits for takes too long."""
        waited = now - self.since
        limits = self._limits
        if self._is_unread:
            if waited > limits.body_seconds:
                self._transport.abort()
        elif self._is_closing or self._answers:
            # What the answer waits for has its own time.
            return
        elif not self._is_begun:
            # Who connects and says nothing has no more time than who speaks slowly.
            if waited > (limits.idle_seconds if self._is_answered else limits.head_seconds):
                self._transport.close()
        elif waited > (limits.body_seconds if self._is_head_read else limits.head_seconds):
            part = "body" if self._is_head_read else "head"
            self._refuse(RequestError(408, f"The request's {part} did not arrive in time."))
            self._flush()

    def close_if_idle(self) -> None:
        """Close where no request has begun; else its answer will."""
        if not self._is_begun and not self._answers:
            self._transport.close()

    def abort(self) -> None:
        """Cut at once, whatever is under way."""
        self._transport.abort()

    # The parser's callbacks, in the order of a request.

    def on_message_begin(self) -> None:
        """Forget the last request."""
        self._target = b""
        self._headers = {}
        self._body = b""
        self._received_bytes = 0
        self._is_head_read = False
        self._is_begun = True

    def on_url(self, url: bytes) -> None:
        """Keep the target, which may come in parts."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header."""
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """Refuse a body that is too long before it is sent, or invite it."""
        self._is_head_read = True
        if self._is_held:
            # The head came in parts: the body has its own time.
            self.since = time.monotonic()
        if (guard := self._connections.guard) is not None and (refusal := self._ask(guard)) is not None:
            self._refuse(refusal)
        # The parser has refused what is not a number.
        elif int(self._headers.get(b"content-length", 0)) > self._limits.body_bytes:
            self._refuse_body()
        elif b"expect" in self._headers and self._headers[b"expect"].lower() == b"100-continue":
            self._answers.append(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body; a chunked one says its length only by ending."""
        if self._is_closing:
            return
        if not self._body:
            self._body = body
        elif isinstance(self._body, bytearray):
            self._body += body
        else:
            # Not a list of parts: those of a chunked body may be a byte each.
            self._body = bytearray(self._body) + body
        if len(self._body) > self._limits.body_bytes:
            self._refuse_body()

    def on_message_complete(self) -> None:
        """Answer."""
        if self._is_closing or self._parser is None:
            return
        self._is_begun = False
        # `Upgrade` makes the parser skip the body: what arrived is not the request.
        if self._parser.should_upgrade():
            return
        if self._is_held:
            self._let_go()
        is_kept = self._parser.should_keep_alive() and not self._connections.is_draining
        # Whoever pipelines more than this asks for the rest on another connection (RFC 9112, 9.3.2).
        is_kept = is_kept and self._answers_bytes < _GREATEST_ANSWERS_BYTES
        self._is_closing = not is_kept
        method = self._parser.get_method().decode()
        response: Response | Awaitable[Response]
        try:
            path = _path(self._target)
            # What has a body is a prediction: those that say whether the server lives never wait.
            if self._body and time.monotonic() - self._turn_began > self._limits.wait_seconds:
                self._connections.shed(WAIT)
                raise RequestError(503, "The server has more requests than it can answer in time.", _RETRY)
        except RequestError as exc:
            response = error_response(exc)
        else:
            request = Request("GET" if method == "HEAD" else method, path, self._headers, bytes(self._body))
            response = self._handle(request)
        self._is_answered = True
        connection = b"" if is_kept else b"Connection: close\r\n"
        # HTTP/1.0 keeps only what both sides ask to be kept; asking for the version costs more than looking.
        if is_kept and b"connection" in self._headers and self._parser.get_http_version() == "1.0":
            connection = b"Connection: keep-alive\r\n"
        is_bodyless = method == "HEAD"
        if isinstance(response, Response):
            answer = _encode(response, connection, is_bodyless)
            self._answers.append(answer)
            self._answers_bytes += len(answer)
        else:
            self._await_answer(response, connection, is_bodyless)

    def _ask(self, guard: Guard) -> RequestError | None:
        try:
            return guard(_path(self._target), self._headers)
        except RequestError as exc:
            return exc

    def _hold(self) -> None:
        """Count a request that has not arrived whole, and bound it and all such requests together.

        A head, or trailers, that never end reach no callback of the parser.
        """
        if not self._is_held:
            self._is_held = True
            self.since = time.monotonic()
            self._connections.hold(1, 0)
            # What came with its beginning.
            self._received_bytes += len(self._body)
        self._connections.hold(0, self._received_bytes - self._held_bytes)
        self._held_bytes = self._received_bytes
        limits = self._limits
        if not self._is_head_read and self._received_bytes > limits.head_bytes:
            self._refuse(RequestError(431, f"Expected a head of {limits.head_bytes} bytes at most."))
        # With what chunked encoding adds to a body in chunks of a few bytes.
        elif self._received_bytes > limits.head_bytes + 4 * limits.body_bytes:
            self._refuse_body()
        elif self._connections.held_bytes > limits.held_bytes:
            self._shed(MEMORY, "The server holds as many unfinished requests as it can.")

    def _let_go(self) -> None:
        """Count out a request that has arrived whole, or never will."""
        if self._is_held:
            self._connections.hold(-1, -self._held_bytes)
            self._is_held, self._held_bytes = False, 0

    def _await_answer(self, response: Awaitable[Response], connection: bytes, is_bodyless: bool) -> None:
        """Keep a place for an answer, and read no further before it is there."""
        later = _LaterAnswer()
        self._answers.append(later)
        self._transport.pause_reading()
        self._connections.hold(1, 0)

        async def wait() -> None:
            try:
                later.content = _encode(await response, connection, is_bodyless)
            finally:
                self._connections.hold(-1, 0)
            # The client may be gone.
            if self._parser is not None:
                self.since = time.monotonic()
                self._flush()

        later.task = asyncio.get_running_loop().create_task(wait())

    def _flush(self) -> None:
        """Write what is there in order, in one go, and end where that was all."""
        answers = self._answers
        if not answers:
            return
        if len(answers) == 1 and isinstance(answers[0], bytes) and not self._is_closing:
            # The common case, without what several answers need.
            self._transport.write(answers[0])
            answers.clear()
            self._answers_bytes = 0
            return
        ready: list[bytes] = []
        was_waiting = isinstance(answers[0], _LaterAnswer)
        while answers:
            answer = answers[0]
            content = answer.content if isinstance(answer, _LaterAnswer) else answer
            if content is None:
                break
            ready.append(content)
            answers.popleft()
        if ready:
            self._transport.write(ready[0] if len(ready) == 1 else b"".join(ready))
        if answers:
            return
        self._answers_bytes = 0
        if self._is_closing:
            self._end()
        elif was_waiting and not self._is_unread:
            self._transport.resume_reading()

    def _refuse_body(self) -> None:
        self._refuse(RequestError(413, f"Expected a body of {self._limits.body_bytes} bytes at most."))

    def _shed(self, reason: str, message: str) -> None:
        """Turn a client away whom there is no room for."""
        self._connections.shed(reason)
        self._refuse(RequestError(503, message, _RETRY))

    def _refuse(self, error: RequestError) -> None:
        """Answer a request that has not arrived whole, and read no further."""
        if not self._is_closing:
            self._is_closing = True
            self._let_go()
            self._body = b""
            self._answers.append(_encode(error_response(error), b"Connection: close\r\n"))

    def _end(self) -> None:
        # Closing a socket with unread bytes resets it, and the client loses the answer (RFC 9112, 9.6).
        is_all_read = self._is_answered and not self._is_begun
        if is_all_read or not self._transport.can_write_eof():
            self._transport.close()
            return
        self._transport.write_eof()
        asyncio.get_running_loop().call_later(_LINGER_SECONDS, self._transport.abort)


def _encode(response: Response, connection: bytes, is_bodyless: bool = False) -> bytes:
    """Write an answer, with the line that says what becomes of the connection."""
    return b"%bContent-Type: %b\r\nContent-Length: %d\r\n%b%b\r\n%b" % (
        _STATUS_LINES[response.status],
        response.content_type,
        len(response.body),
        response.head,
        connection,
        b"" if is_bodyless else response.body,
    )


def _path(target: bytes) -> str:
    """Return the path of a request's target, without its query.

    Raises:
        RequestError: 400; the target is not one of HTTP.
    """
    try:
        if not target.startswith(b"/"):
            target = httptools.parse_url(target).path or b"/"
        return target.partition(b"?")[0].decode("ascii")
    except (httptools.HttpParserInvalidURLError, UnicodeDecodeError) as exc:
        raise RequestError(400, "The request's target is not a path in ASCII.") from exc
