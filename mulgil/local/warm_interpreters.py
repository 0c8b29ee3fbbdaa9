"""Interpreters that are kept warm between runs: their keeper started and ended, and one of them taken.

Whatever is wrong with the keeper, a step is started as it would be without one.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from mulgil.errors import TemporaryError, describe
from mulgil.home import home
from mulgil.local.environments import Environment, find_environment
from mulgil.local.keeper import COUNT, SOCKET
from mulgil.local.recipe import fingerprint_recipe

_ANSWER_SECONDS = 1.0
_UP_SECONDS = 10.0
_END_SECONDS = 5.0
_LOOK_SECONDS = 0.05


def keep_warm(images: Iterable[str]) -> None:
    """Start the keeper, where none runs, for the components of some images.

    Raises:
        MulgilError: An image has no environment here, or the keeper does not come up.
    """
    names = list(dict.fromkeys(images))
    for image in names:
        find_environment(image)
    if _is_up():
        return
    folder = _folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = folder / "log.txt"
    # It outlives this process.
    os.posix_spawn(
        sys.executable,
        [sys.executable, "-P", "-m", "mulgil.local.keeper", str(folder), *names],
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    deadline = time.monotonic() + _UP_SECONDS
    while not _is_up():
        if time.monotonic() > deadline:
            raise TemporaryError(
                describe(
                    "The keeper of warm interpreters does not come up",
                    received=log.read_text(encoding="utf-8")[-2000:],
                    next_step=f"read {log}",
                )
            )
        time.sleep(_LOOK_SECONDS)


def end_warm() -> None:
    """End the keeper and every interpreter that it holds; steps that run go on."""
    connection = _connect()
    if connection is None:
        return
    with connection:
        # The kernel knows who listens, also where that one does not answer.
        keeper, _, _ = struct.unpack(
            "3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        )
    with contextlib.suppress(ProcessLookupError):
        watched = os.pidfd_open(keeper)
        try:
            for number in (signal.SIGTERM, signal.SIGKILL):
                signal.pidfd_send_signal(watched, number)
                if select.select([watched], [], [], _END_SECONDS)[0]:
                    break
        finally:
            os.close(watched)


def count_ready() -> tuple[int, int]:
    """Return how many interpreters are ready, and of how many; none where no keeper answers."""
    connection = _connect()
    if connection is None:
        return 0, 0
    with connection:
        try:
            connection.sendall(f"{json.dumps(COUNT)}\n".encode())
            ready, wanted = connection.recv(64).split()
        except (OSError, ValueError):
            return 0, 0
    return int(ready), int(wanted)


class WarmInterpreter:
    """An interpreter that was kept warm, and now is this run's alone.

    Args:
        pid: Its number; it leads a group.
        channel: Where it reads its command line, and says how it ended.
        pidfd: Tells its end.
    """

    def __init__(self, pid: int, channel: socket.socket, pidfd: int) -> None:
        self.pid = pid
        self._channel = channel
        self._pidfd = pidfd
        self._exit_code: int | None = None

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self._exit_code is None and not select.select([self._pidfd], [], [], 0)[0]

    async def give(self, line: bytes) -> None:
        """Give it the step.

        Raises:
            ConnectionError: It ended.
        """
        await asyncio.get_running_loop().sock_sendall(self._channel, line)

    async def wait(self) -> int:
        """Wait for its end and return its exit code.

        One that a signal ended said nothing. It is not a child of ours, so which signal cannot be known; it
        counts as killed.
        """
        if self._exit_code is None:
            loop, ended = asyncio.get_running_loop(), asyncio.Event()
            loop.add_reader(self._pidfd, ended.set)
            try:
                await ended.wait()
            finally:
                loop.remove_reader(self._pidfd)
            said = b""
            with contextlib.suppress(BlockingIOError, ConnectionError):
                said = self._channel.recv(64)
            self._exit_code = int(said) if said else -signal.SIGKILL
            self._channel.close()
            os.close(self._pidfd)
        return self._exit_code


class WarmInterpreters:
    """A run's connection to the keeper; while it stands, the keeper starts nothing.

    It is one of none where no keeper answers.
    """

    def __init__(self) -> None:
        self._connection = _connect()

    def take(self, environment: Environment) -> WarmInterpreter | None:
        """Take the interpreter of a component, where one waits that is made of what is there now."""
        if self._connection is None:
            return None
        request = {
            "module": f"components.{environment.component}",
            "prefix": str(environment.prefix),
            "lock": str(environment.lock),
            "variables": environment.variables,
            "recipe": fingerprint_recipe(environment.prefix, environment.lock, environment.variables),
        }
        try:
            self._connection.sendall(f"{json.dumps(request)}\n".encode())
            answer, descriptors, _, _ = socket.recv_fds(self._connection, 256, 2)
            pid = json.loads(answer).get("pid")
        except (OSError, ValueError):
            # What it says later, nobody is to take for the answer to another question.
            self.close()
            return None
        if pid is None:
            return None
        channel = socket.socket(fileno=descriptors[0])
        channel.setblocking(False)
        return WarmInterpreter(pid, channel, descriptors[1])

    def close(self) -> None:
        """Let the keeper replace what was taken."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _folder() -> Path:
    return home() / "warm"


def _is_up() -> bool:
    connection = _connect()
    if connection is None:
        return False
    connection.close()
    return True


def _connect() -> socket.socket | None:
    # First, as an unusable home is an error.
    folder = _folder()
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(_ANSWER_SECONDS)
    place = -1
    try:
        # An address has 108 bytes at the most, and a home's path may be longer.
        place = os.open(folder, os.O_PATH | os.O_DIRECTORY)
        connection.connect(f"/proc/self/fd/{place}/{SOCKET}")
    except OSError:
        connection.close()
        return None
    finally:
        if place >= 0:
            os.close(place)
    return connection
