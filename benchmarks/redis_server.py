"""A Redis for as long as a benchmark or a test lasts."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis

_PATIENCE_SECONDS = 10.0


@dataclass(frozen=True)
class RedisServer:
    """A running one, on a port of this machine.

    Attributes:
        url: As our store and server take it.
        connection_string: As Feast's own store takes it.
        pid: Its process.
    """

    url: str
    connection_string: str
    pid: int

    def flush(self) -> None:
        """Forget all."""
        with redis.Redis.from_url(self.url) as client:
            client.flushall()


@contextmanager
def run_redis(
    folder: Path, port: int | None = None, flags: tuple[str, ...] = (), prefix: tuple[str, ...] = ()
) -> Iterator[RedisServer]:
    """Start one that keeps nothing on the disk.

    Args:
        folder: Where it works.
        port: Where it listens on 127.0.0.1; a free one if left out.
        flags: More of its flags.
        prefix: A command that starts it, such as taskset.
    """
    from benchmarks.serving.servers import free_port

    port = port or free_port()
    command = [*prefix, "redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    process = subprocess.Popen(
        [*command, "--save", "", "--appendonly", "no", *flags],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        url = f"redis://127.0.0.1:{port}"
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                with redis.Redis.from_url(url) as client:
                    client.ping()
                break
            except redis.AuthenticationError:
                break
            except redis.ConnectionError:
                if time.monotonic() > deadline or process.poll() is not None:
                    raise
                time.sleep(0.02)
        yield RedisServer(url, f"127.0.0.1:{port}", process.pid)
    finally:
        process.terminate()
        process.wait(timeout=10)
