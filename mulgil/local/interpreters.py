"""Interpreters that do the imports of coming steps while earlier steps work.

Each is used for one step at the most, so that no step sees another's state. Where `mulgil up --warm` keeps
some between runs, those are taken first.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from mulgil.local.environments import Environment, find_environment
from mulgil.local.warm_interpreters import WarmInterpreters

# Waiting at once. Each holds what it imported, up to 0.9 GB with TensorFlow, and imports on a core of its
# own; laptops begin at two. Chosen by eye.
_MOST_WAITING = 2
_WAITING_INTERPRETER = "mulgil.local.waiting_interpreter"


def module_of(words: Sequence[str]) -> str | None:
    """Return the component that a command line runs: `python -m components.NAME …`; else `None`."""
    match list(words[:3]):
        case ["python", "-m", module] if module.startswith("components."):
            return module
    return None


class StepProcess(Protocol):
    """The process of a step; it leads a group of its own."""

    @property
    def pid(self) -> int:
        """Its number."""

    async def wait(self) -> int:
        """Wait for its end and return its exit code; negative where a signal ended it."""


class WaitingInterpreter(StepProcess, Protocol):
    """An interpreter that waits for its step."""

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended."""

    async def give(self, line: bytes) -> None:
        """Give it the step.

        Raises:
            ConnectionError: It ended.
        """


class StartedInterpreter:
    """A waiting interpreter that this run started.

    Args:
        process: Its process, with a pipe to its input.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.pid = process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.returncode is None

    async def give(self, line: bytes) -> None:
        """Give it the step.

        Raises:
            ConnectionError: It ended.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(line)
        await self._process.stdin.drain()
        self._process.stdin.close()

    async def wait(self) -> int:
        """Wait for its end and return its exit code."""
        return await self._process.wait()


class Interpreters:
    """The waiting interpreters of one run.

    Args:
        images: Of the steps that are expected to run, in their order.
        folder: Where they start; it outlives them.
    """

    def __init__(self, images: Iterable[str], folder: Path) -> None:
        self._coming = deque(images)
        self._folder = folder
        self._preparing = asyncio.Lock()
        self._waiting: dict[str, WaitingInterpreter] = {}
        self._warm = WarmInterpreters()

    async def prepare(self) -> None:
        """Start interpreters for the next steps, up to the number that may wait."""
        # Steps that start side by side both ask for it.
        async with self._preparing:
            while self._coming and len(self._waiting) < _MOST_WAITING:
                environment = find_environment(self._coming.popleft())
                module = f"components.{environment.component}"
                if module not in self._waiting:
                    warm = await asyncio.to_thread(self._warm.take, environment)
                    self._waiting[module] = warm or await self._start(module, environment)

    async def _start(self, module: str, environment: Environment) -> WaitingInterpreter:
        process = await asyncio.create_subprocess_exec(
            "python",
            "-m",
            _WAITING_INTERPRETER,
            module,
            env=environment.variables,
            cwd=self._folder,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            process_group=0,
        )
        return StartedInterpreter(process)

    async def hand_over(
        self, words: Sequence[str], variables: Mapping[str, str], folder: Path, log: Path
    ) -> StepProcess | None:
        """Give a step's command line to the interpreter that waits for it.

        Args:
            words: The command line.
            variables: The step's process environment.
            folder: The step's working directory.
            log: A file that its output is appended to.

        Returns:
            The process, now the step's; `None` where none waits, and the step is to be started.
        """
        module = module_of(words)
        process = self._waiting.pop(module, None) if module else None
        if process is None or not process.is_alive:
            return None
        step = {
            "arguments": list(words[3:]),
            "variables": dict(variables),
            "folder": str(folder),
            "log": str(log),
        }
        try:
            await process.give(f"{json.dumps(step)}\n".encode())
        except ConnectionError:
            # It ended meanwhile, whatever ended it; the step is started afresh.
            await process.wait()
            return None
        return process

    async def close(self) -> None:
        """End those that nobody needed."""
        self._coming.clear()
        self._warm.close()
        for process in self._waiting.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        self._waiting.clear()
