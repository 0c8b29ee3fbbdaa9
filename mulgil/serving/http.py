"""HTTP/1.1 on asyncio: one connection, parsed by httptools, answered in order.

The application is called as a plain function as soon as a request has arrived whole, so that pipelined
requests are answered in order by construction, and a request is either not begun or done. Only where the
application has to wait does its answer take its place in the order later.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus
from typing import cast

import httptools

from mulgil.serving.messages import Request, RequestError, Response, error_response

Handler = Callable[[Request], Response | Awaitable[Response]]

# Envoy's default for a request's headers is 60 KiB:
# https://www.envoyproxy.io/docs/envoy/v1.36.0/api-v3/extensions/filters/network/http_connection_manager/v3
GREATEST_HEAD_BYTES = 64 * 1024
# A thousand rows of a hundred numbers, several times over. Chosen by eye.
GREATEST_BODY_BYTES = 16 * 1024 * 1024
# With what chunked encoding adds to a body in chunks of a few bytes.
_GREATEST_MESSAGE_BYTES = GREATEST_HEAD_BYTES + 4 * GREATEST_BODY_BYTES
# How long a refused client is listened to, so that it reads the refusal before its connection is reset.
_LINGER_SECONDS = 1.0

_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}


class Connections:
    """The open connections of a server.

    Attributes:
        is_draining: Every answer now closes its connection.
    """

    def __init__(self) -> None:
        self.is_draining = False
        self._open: set[HttpConnection] = set()

    def __len__(self) -> int:
        return len(self._open)

    def add(self, connection: HttpConnection) -> None:
        """Count a connection in."""
        self._open.add(connection)

    def discard(self, connection: HttpConnection) -> None:
        """Count a connection out."""
        self._open.discard(connection)

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
        handle: The application. It raises nothing.
        connections: Where the connection counts itself in and out.
    """

    def __init__(self, handle: Handler, connections: Connections) -> None:
        self._handle = handle
        self._connections = connections
        self._transport: asyncio.Transport
        self._parser: httptools.HttpRequestParser | None = None
        self._answers: deque[bytes | _LaterAnswer] = deque()
        self._is_closing = False
        self._is_begun = False
        self._reset()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        # uvloop's transport has a Transport's methods without being one by inheritance.
        self._transport = cast("asyncio.Transport", transport)
        self._parser = httptools.HttpRequestParser(self)
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._connections.discard(self)
        # The parser holds this connection's methods: without this, both wait for the cycle collector.
        self._parser = None

    def pause_writing(self) -> None:
        """Stop reading from a client that does not read its answers."""
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on once it has."""
        self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        """Parse what came, and answer every request that it completes in one write."""
        if self._is_closing or self._parser is None:
            return
        # Where a request begins within the data this starts from 0 again, and counts what follows.
        self._received_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse(RequestError(400, "This server does not upgrade connections: leave `Upgrade` out."))
        except httptools.HttpParserError as exc:
            self._refuse(RequestError(400, f"The request is not HTTP/1.1: {exc}."))
        else:
            self._bound_message()
        self._flush()

    def close_if_idle(self) -> None:
        """Close where no request has begun; else its answer will."""
        if not self._is_begun and not self._answers:
            self._transport.close()

    def abort(self) -> None:
        """Close at once, whatever is under way."""
        self._transport.abort()

    # The parser's callbacks, in the order of a request.

    def on_message_begin(self) -> None:
        """Forget the last request."""
        self._reset()
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
        # The parser has refused what is not a number.
        if int(self._headers.get(b"content-length", b"0")) > GREATEST_BODY_BYTES:
            self._refuse_body()
        elif self._headers.get(b"expect", b"").lower() == b"100-continue":
            self._answers.append(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body; a chunked one says its length only by ending."""
        if self._is_closing:
            return
        self._body.append(body)
        self._body_bytes += len(body)
        if self._body_bytes > GREATEST_BODY_BYTES:
            self._refuse_body()

    def on_message_complete(self) -> None:
        """Answer."""
        if self._is_closing or self._parser is None:
            return
        self._is_begun = False
        # `Upgrade` makes the parser skip the body: what arrived is not the request.
        if self._parser.should_upgrade():
            return
        is_kept = self._parser.should_keep_alive() and not self._connections.is_draining
        self._is_closing = not is_kept
        method = self._parser.get_method().decode()
        response: Response | Awaitable[Response]
        try:
            path = _path(self._target)
        except RequestError as exc:
            response = error_response(exc)
        else:
            body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
            response = self._handle(Request("GET" if method == "HEAD" else method, path, self._headers, body))
        needs_promise = is_kept and self._parser.get_http_version() == "1.0"
        form = partial(_encode, is_kept=is_kept, needs_promise=needs_promise, is_bodyless=method == "HEAD")
        if isinstance(response, Response):
            self._answers.append(form(response))
        else:
            self._await_answer(response, form)

    def _reset(self) -> None:
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._received_bytes = 0
        self._is_head_read = False

    def _bound_message(self) -> None:
        """Refuse a head, or trailers, that never end: they reach no callback of the parser."""
        if not self._is_begun:
            return
        if not self._is_head_read and self._received_bytes > GREATEST_HEAD_BYTES:
            self._refuse(RequestError(431, f"Expected a head of {GREATEST_HEAD_BYTES} bytes at most."))
        elif self._received_bytes > _GREATEST_MESSAGE_BYTES:
            self._refuse_body()

    def _await_answer(self, response: Awaitable[Response], form: Callable[[Response], bytes]) -> None:
        """Keep a place for an answer, and read no further before it is there."""
        later = _LaterAnswer()
        self._answers.append(later)
        self._transport.pause_reading()

        async def wait() -> None:
            later.content = form(await response)
            # The client may be gone.
            if self._parser is not None:
                self._flush()

        later.task = asyncio.get_running_loop().create_task(wait())

    def _flush(self) -> None:
        """Write what is there in order, in one go, and end where that was all."""
        ready: list[bytes] = []
        was_waiting = bool(self._answers) and isinstance(self._answers[0], _LaterAnswer)
        while self._answers:
            answer = self._answers[0]
            content = answer.content if isinstance(answer, _LaterAnswer) else answer
            if content is None:
                break
            ready.append(content)
            self._answers.popleft()
        if ready:
            self._transport.write(ready[0] if len(ready) == 1 else b"".join(ready))
        if self._answers:
            return
        if self._is_closing:
            self._end()
        elif was_waiting:
            self._transport.resume_reading()

    def _refuse_body(self) -> None:
        self._refuse(RequestError(413, f"Expected a body of {GREATEST_BODY_BYTES} bytes at most."))

    def _refuse(self, error: RequestError) -> None:
        """Answer a request that has not arrived whole, and read no further."""
        if not self._is_closing:
            self._is_closing = True
            self._answers.append(
                _encode(error_response(error), is_kept=False, needs_promise=False, is_bodyless=False)
            )

    def _end(self) -> None:
        if not self._is_begun:
            self._transport.close()
            return
        # Closing a socket with unread bytes resets it, and the client loses the answer (RFC 9112, 9.6).
        self._transport.write_eof()
        asyncio.get_running_loop().call_later(_LINGER_SECONDS, self._transport.abort)


def _encode(response: Response, *, is_kept: bool, needs_promise: bool, is_bodyless: bool) -> bytes:
    """Write an answer."""
    connection = b""
    if not is_kept:
        connection = b"Connection: close\r\n"
    elif needs_promise:
        connection = b"Connection: keep-alive\r\n"
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
