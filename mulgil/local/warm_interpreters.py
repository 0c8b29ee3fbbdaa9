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
from mulgil.local.channel import Channel
from mulgil.local.environments import Environment, find_environment
from mulgil.local.interpreter import Interpreter
from mulgil.local.interpreter_tree import recipe_of
from mulgil.local.keeper import COUNT, SOCKET

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
            ready, wanted = json.loads(connection.recv(64))
        except (OSError, ValueError):
            return 0, 0
    return ready, wanted


class WarmInterpreters:
    """A run's connection to the keeper; while it stands, the keeper imports nothing.

    It is one of none where no keeper answers.
    """

    def __init__(self) -> None:
        connection = _connect()
        self._channel = Channel(connection) if connection is not None else None

    async def has(self, environment: Environment) -> bool:
        """Whether a component's imports are done, with what is there now."""
        return await self._ask(environment)

    async def take(self, environment: Environment) -> Interpreter | None:
        """Take an interpreter that has done a component's imports, with what is there now.

        Raises:
            ConnectionError: It ended meanwhile.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            is_given = await self._ask(environment, theirs.fileno())
        if not is_given:
            ours.close()
            return None
        return await Interpreter.meet(Channel(ours))

    async def _ask(self, environment: Environment, *descriptors: int) -> bool:
        if self._channel is None:
            return False
        request = {
            "component": environment.component,
            "prefix": str(environment.prefix),
            "lock": str(environment.lock),
            "variables": environment.variables,
            "recipe": await asyncio.to_thread(recipe_of, environment),
        }
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                await self._channel.send(request, *descriptors)
                return bool((await self._channel.receive())["is_ready"])
        except (OSError, ValueError, LookupError):
            # What it says later, nobody is to take for the answer to another question.
            self.close()
            return False

    def close(self) -> None:
        """Let the keeper go on with its imports."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None


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
