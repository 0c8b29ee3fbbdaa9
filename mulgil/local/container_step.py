"""One container's command, run as a process in the environment that stands for its image."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Self

from mulgil.errors import PermanentError, UnsupportedPipelineError, describe
from mulgil.local.environments import find_environment
from mulgil.local.interpreters import Interpreters, StepProcess
from mulgil.local.machine import memory_of_group
from mulgil.local.pipeline_spec import Container
from mulgil.local.placeholders import TaskContext, needs_executor_input, resolve_command

# Time for a step to end by itself when the run is interrupted; chosen by eye.
_GRACE_SECONDS = 5.0
# Between two looks at a step's memory; a look costs some milliseconds. Chosen by eye.
_LOOK_SECONDS = 0.25
_VARIABLE = re.compile(r"\$(?:\$|\((?P<name>[-._a-zA-Z][-._a-zA-Z0-9]*)\))")


def expand_variables(text: str, variables: Mapping[str, str]) -> str:
    """Expand `$(NAME)` as Kubernetes does in a container's command line and variables.

    A name that is unknown stays as it is, and `$$` is a dollar sign that begins no name.

    Source: https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/.
    """

    def value_of(match: re.Match[str]) -> str:
        return variables.get(match["name"], match[0]) if match["name"] else "$"

    return _VARIABLE.sub(value_of, text)


def check_container(name: str, container: Container) -> None:
    """Refuse a container that cannot run on this machine.

    Args:
        name: Its executor's.
        container: The container.

    Raises:
        UnsupportedPipelineError: Its image has no environment here, or it is a Python function of KFP's.
        PermanentError: Its environment is not installed.
    """
    find_environment(container.image)
    if any(needs_executor_input(part) for part in (*container.command, *container.args)):
        raise UnsupportedPipelineError(
            describe(
                f"{name} is a Python function component, which installs packages where it runs",
                expected="a container component, with placeholders for each input and output",
                received="{{$}} in its command line",
            )
        )


def resolve_container(container: Container, context: TaskContext) -> tuple[list[str], dict[str, str]]:
    """Return a container's command line and the variables that it sets itself."""
    variables: dict[str, str] = {}
    for variable in container.env:
        variables[variable.name] = expand_variables(variable.value, variables)
    words = [
        expand_variables(word, variables)
        for word in resolve_command((*container.command, *container.args), context)
    ]
    return words, variables


def command_of(container: Container, context: TaskContext) -> tuple[list[str], dict[str, str]]:
    """Return a container's command line and the variables of its process."""
    words, variables = resolve_container(container, context)
    return words, find_environment(container.image).variables | variables


class ContainerProcess:
    """A container's command while it runs. Make it with `start`.

    The process leads a group of its own, so that what it starts ends with it.
    """

    def __init__(self, process: StepProcess, log: BinaryIO, memory_limit: float | None) -> None:
        self._process = process
        self._log = log
        self._memory_limit = memory_limit

    @classmethod
    async def start(
        cls,
        container: Container,
        context: TaskContext,
        folder: Path,
        log: BinaryIO,
        interpreters: Interpreters | None,
        memory_limit: float | None = None,
    ) -> Self:
        """Start a container's command.

        Args:
            container: The command.
            context: What its placeholders stand for.
            folder: Its working directory.
            log: Where its output goes.
            interpreters: One of them may wait for this very command line; `None` starts a new process.
            memory_limit: Bytes of memory at which it is ended; `None` sets no limit.

        Raises:
            PermanentError: It cannot be started.
        """
        words, environment = command_of(container, context)
        process: StepProcess | None = None
        # Variables of the container's own must be there before anything is imported.
        if interpreters is not None and not container.env:
            process = await interpreters.hand_over(
                container.image, words, environment, folder, Path(log.name)
            )
        if process is None:
            process = await _spawn(words, environment, folder, log)
        return cls(process, log, memory_limit)

    @property
    def pid(self) -> int:
        """Number of the process that leads the group."""
        return self._process.pid

    async def wait(self, deadline: float | None) -> int:
        """Wait for the end.

        Args:
            deadline: When it is ended, by `time.time()`; `None` sets no limit.

        Returns:
            The exit code; negative where a signal ended it.
        """
        memory_limit = self._memory_limit
        while True:
            remaining = None if deadline is None else max(0.0, deadline - time.time())
            look = None if memory_limit is None else _LOOK_SECONDS
            try:
                async with asyncio.timeout(
                    min((t for t in (remaining, look) if t is not None), default=None)
                ):
                    return await self._process.wait()
            except TimeoutError:
                if deadline is not None and time.time() >= deadline:
                    self._note("ended: it ran past the time in which its retry policy allows attempts")
                    return await self.end()
                if memory_limit is not None and memory_of_group(self._process.pid) > memory_limit:
                    self._note(
                        f"killed: it held more memory than its limit of {memory_limit / 2**20:.0f} MiB"
                    )
                    self._signal(signal.SIGKILL)

    async def end(self) -> int:
        """End it and what it started, by force where it does not end by itself.

        Returns:
            The exit code.
        """
        for number in (signal.SIGTERM, signal.SIGKILL):
            self._signal(number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_GRACE_SECONDS):
                    return await self._process.wait()
        return await self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _note(self, what: str) -> None:
        self._log.write(f"{what}\n".encode())
        self._log.flush()


async def _spawn(
    words: Sequence[str], environment: Mapping[str, str], folder: Path, log: BinaryIO
) -> asyncio.subprocess.Process:
    if not words:
        raise PermanentError("Nothing of the command line is left to start.")
    try:
        return await asyncio.create_subprocess_exec(
            *words,
            env=environment,
            cwd=folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=asyncio.subprocess.STDOUT,
            process_group=0,
        )
    except OSError as exc:
        raise PermanentError(
            describe(f"Cannot start {words[0]}: {exc.strerror}", received=" ".join(words))
        ) from exc
