"""A collector that takes everything and keeps nothing: `python -m benchmarks.serving.sink PORT`.

It stands in for one on another machine, and has to share the load's core here. Whatever it took there would
delay the load and count as the log's cost, so it takes next to nothing: the kernel throws bodies away unread.
"""

from __future__ import annotations

import re
import socket
import socketserver
import sys

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
# Thrown away in one call.
_MOST_BYTES = 256 * 1024


class _Sender(socketserver.BaseRequestHandler):
    """One connection, whose sender waits for an answer before it sends more."""

    def handle(self) -> None:
        connection: socket.socket = self.request
        nowhere = bytearray(_MOST_BYTES)
        head = b""
        while part := connection.recv(4096):
            head += part
            head, end, body = head.partition(b"\r\n\r\n")
            if not end:
                continue
            length = _LENGTH.search(head)
            assert length is not None, head
            left = int(length[1]) - len(body)
            while left > 0:
                left -= connection.recv_into(nowhere, min(left, _MOST_BYTES), socket.MSG_TRUNC)
            connection.sendall(_ANSWER)
            head = b""


if __name__ == "__main__":
    socketserver.ThreadingTCPServer.daemon_threads = True
    with socketserver.ThreadingTCPServer(("127.0.0.1", int(sys.argv[1])), _Sender) as sink:
        sink.serve_forever()
