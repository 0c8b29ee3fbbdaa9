"""A waiting interpreter, as seen by who makes it work: started, copied, made to import, and given a step."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import socket
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from mulgil.local.channel import Channel
from mulgil.local.environments import Environment

_PROGRAM = "mulgil.local.waiting_interpreter"
# For the interpreter that a step was copied from to tell which signal ended the step.
_TELL_SECONDS = 1.0


class Interpreter:
    """A process that waits, and may become a step's. It leads a group of its own.

    Args:
        channel: What it listens to.
        pid: Its number.
        handle: Tells its end; a number may be another's by then.
        child: The same process, where it is a child of ours.
    """

    def __init__(
        self, channel: Channel, pid: int, handle: int, child: subprocess.Popen[bytes] | None = None
    ) -> None:
        self._channel = channel
        self.pid = pid
        self._handle = handle
        self._child = child
        self._exit_code: int | None = None

    @classmethod
    async def start(cls, environment: Environment, folder: Path, cores: Iterable[int] | None = None) -> Self:
        """Start one that has imported nothing.

        Args:
            environment: Whose Python it is.
            folder: Its working directory.
            cores: Those that it may use, where this thread's may be fewer for a step that is just starting.

        Raises:
            OSError: It cannot be started, or ended at once.
        """
        ours, theirs = socket.socketpair()
        with theirs, contextlib.ExitStack() as unwanted:
            unwanted.callback(ours.close)
            child = subprocess.Popen(
                [environment.prefix / "bin" / "python", "-m", _PROGRAM],
                env=environment.variables,
                cwd=folder,
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                process_group=0,
            )
            unwanted.pop_all()
        try:
            if cores is not None:
                os.sched_setaffinity(child.pid, cores)
            return await cls._meet(Channel(ours), child)
        except BaseException:
            child.kill()
            child.wait()
            raise

    @classmethod
    async def meet(cls, channel: Channel) -> Self:
        """Wait for a copy to say who it is.

        Raises:
            ConnectionError: There will be none.
        """
        return await cls._meet(channel, None)

    @classmethod
    async def _meet(cls, channel: Channel, child: subprocess.Popen[bytes] | None) -> Self:
        try:
            pid = (await channel.receive())["pid"]
            return cls(channel, pid, channel.descriptors.popleft(), child)
        except BaseException:
            channel.close()
            raise

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self._exit_code is None and not select.select([self._handle], [], [], 0)[0]

    async def load(self, names: Sequence[str]) -> None:
        """Make it import, and wait until it has.

        Raises:
            ConnectionError: It ended.
        """
        await self._channel.send({"import": names})
        await self._channel.receive()

    async def copy(self) -> Interpreter:
        """Return a copy of it.

        Raises:
            ConnectionError: It ended.
        """
        ours, theirs = socket.socketpair()
        with theirs, contextlib.ExitStack() as unwanted:
            unwanted.callback(ours.close)
            await self.copy_to(theirs.fileno())
            unwanted.pop_all()
        return await self.meet(Channel(ours))

    async def copy_to(self, descriptor: int) -> None:
        """Have a copy of it listen to a socket.

        Raises:
            ConnectionError: It ended.
        """
        await self._channel.send({"copy": True}, descriptor)

    async def give(
        self, module: str, arguments: Sequence[str], variables: Mapping[str, str], folder: Path, log: Path
    ) -> None:
        """Make it a step.

        Args:
            module: Of the component.
            arguments: After the module's name.
            variables: The step's process environment.
            folder: The step's working directory.
            log: A file that its output is appended to.

        Raises:
            ConnectionError: It ended.
        """
        step: dict[str, Any] = {
            "module": module,
            "arguments": list(arguments),
            "variables": dict(variables),
            "folder": str(folder),
            "log": str(log),
        }
        await self._channel.send({"step": step})

    async def wait(self) -> int:
        """Wait for its end and return its exit code; negative where a signal ended it.

        Where nobody is left who could tell which signal it was, it counts as killed.
        """
        if self._exit_code is None:
            loop, ended = asyncio.get_running_loop(), asyncio.Event()
            loop.add_reader(self._handle, ended.set)
            try:
                await ended.wait()
            finally:
                loop.remove_reader(self._handle)
            exit_code = -signal.SIGKILL.value
            with contextlib.suppress(OSError, ValueError, KeyError):
                async with asyncio.timeout(_TELL_SECONDS):
                    exit_code = (await self._channel.receive())["exit_code"]
            self._exit_code = exit_code
            self._release()
        return self._exit_code

    def end(self) -> None:
        """End it where it waits, at once."""
        if self._exit_code is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)
            self._exit_code = -signal.SIGKILL
            self._release()

    def _release(self) -> None:
        self._channel.close()
        os.close(self._handle)
        if self._child is not None:
            self._child.wait()
