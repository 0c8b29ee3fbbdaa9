"""How much of a server a client may take: bytes, connections and time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds of one worker; beyond them a client is refused and told why.

    Attributes:
        head_bytes: Of a request's line and headers. Envoy's default is 60 KiB:
            https://www.envoyproxy.io/docs/envoy/v1.36.0/api-v3/extensions/filters/network/http_connection_manager/v3
        body_bytes: Of a request's body. By default a thousand rows of a hundred numbers, several times over.
        held_bytes: Of all requests together that have begun to arrive and are not whole.
        connections: Open at once. Beyond them, the one that has been idle longest is closed; where none is
            idle, the new one is refused.
        wait_seconds: How long a prediction may have waited behind others before its turn; it is then refused,
            since whoever asked may no longer listen.
        head_seconds: From a request's first byte, or the connection's beginning, to the end of its head.
        body_seconds: From there to the end of its body; also how long a client may leave its answers unread.
        idle_seconds: How long a connection may stay open without a request. By default longer than Envoy and
            Knative's proxy keep one, so that they close it: no request meets a closing connection.
    """

    head_bytes: int = 64 * 1024
    body_bytes: int = 16 * 1024 * 1024
    held_bytes: int = 64 * 1024 * 1024
    connections: int = 1024
    wait_seconds: float = 1.0
    head_seconds: float = 10.0
    body_seconds: float = 30.0
    idle_seconds: float = 3660.0
