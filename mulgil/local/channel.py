"""Lines of JSON over a Unix socket, and descriptors with them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections import deque
from collections.abc import Callable
from typing import Any

_MOST_BYTES = 1 << 20


class Channel:
    """One end of a socket, on an event loop.

    Args:
        end: The socket; it is this object's from now on.
    """

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._socket = end
        self._sending = asyncio.Lock()
        self._received = b""
        self.descriptors: deque[int] = deque()

    async def send(self, message: object, *descriptors: int) -> None:
        """Send a message.

        Raises:
            ConnectionError: Nobody is there.
        """
        line = f"{json.dumps(message)}\n".encode()
        loop = asyncio.get_running_loop()
        async with self._sending:
            sent = 0
            if descriptors:
                await self._until(loop.add_writer, loop.remove_writer)
                sent = socket.send_fds(self._socket, [line], descriptors)
            await loop.sock_sendall(self._socket, line[sent:])

    async def receive(self) -> Any:
        """Wait for a message; the descriptors that came so far are in `descriptors`.

        Raises:
            ConnectionError: Nobody is there.
            ValueError: It is no JSON.
        """
        loop = asyncio.get_running_loop()
        while b"\n" not in self._received:
            await self._until(loop.add_reader, loop.remove_reader)
            with contextlib.suppress(BlockingIOError):
                received, descriptors, _, _ = socket.recv_fds(self._socket, 65536, 2, socket.MSG_CMSG_CLOEXEC)
                self.descriptors += descriptors
                self._received += received
                if not received or len(self._received) > _MOST_BYTES:
                    raise ConnectionError
        line, self._received = self._received.split(b"\n", 1)
        return json.loads(line)

    async def _until(self, add: Callable[..., Any], remove: Callable[..., Any]) -> None:
        """Wait until the socket can be read from, or written to."""
        came = asyncio.Event()
        add(self._socket, came.set)
        try:
            await came.wait()
        finally:
            remove(self._socket)

    def close(self) -> None:
        """Close this end."""
        self._socket.close()
        while self.descriptors:
            os.close(self.descriptors.popleft())
