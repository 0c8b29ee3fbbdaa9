"""What the HTTP connection and the application say to each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

JSON = b"application/json"
# One for all, which costs less than one a call.
encode_json = msgspec.json.Encoder().encode

Body = TypeVar("Body")


@dataclass(slots=True)
class Request:
    """A request that has arrived whole.

    Attributes:
        method: In capitals.
        path: As sent, without the query.
        headers: By name in lower case; of a repeated one, the last.
        body: Whatever its content type claims.
        rows: Of the entities that it names, once they have been read.
        begun: When it was first handled, by `time.perf_counter`; 0 before.
        warning: What the answer is to say of values that were out of range and not refused.
    """

    method: str
    path: str
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""
    rows: list[bytes | None] | RequestError | None = None
    begun: float = 0.0
    warning: str = ""


@dataclass(slots=True)
class Response:
    """What the client gets.

    Attributes:
        status: HTTP status code.
        body: Encoded.
        content_type: Of the body.
        head: Lines of the head beside content type and length, which the connection writes.
    """

    status: int
    body: bytes
    content_type: bytes = JSON
    head: bytes = b""


class RequestError(Exception):
    """The client's mistake, as it is told to the client.

    Attributes:
        status: HTTP status code, 4xx, or 503 while the server drains.
        message: For the reader of the response.
        head: Lines of the head that the status calls for.
    """

    def __init__(self, status: int, message: str, head: bytes = b"") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.head = head


def json_response(content: object, status: int = 200) -> Response:
    """Encode a response's content."""
    return Response(status, encode_json(content))


def error_response(error: RequestError) -> Response:
    """Write an error in KServe's shape, `{"error": message}`."""
    return Response(error.status, encode_json({"error": error.message}), head=error.head)


def parse_body(decoder: msgspec.json.Decoder[Body], body: bytes) -> Body:
    """Parse a request's JSON.

    Raises:
        RequestError: 400; the body is not JSON, or not of the decoder's shape.
    """
    if not body:
        raise RequestError(400, "The body is empty: expected JSON.")
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as exc:
        raise RequestError(400, f"The body is not of this request's form: {exc}.") from exc
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise RequestError(400, f"The body is not JSON: {exc}.") from exc


def try_body(decoder: msgspec.json.Decoder[Body], body: bytes) -> Body | None:
    """Parse a request's JSON, or return `None` where it is not of the decoder's form."""
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
