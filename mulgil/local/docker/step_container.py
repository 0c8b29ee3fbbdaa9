"""One step's container while it runs."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, Self

from mulgil.errors import PermanentError, describe
from mulgil.local.docker.engine import NOT_STARTED, Engine
from mulgil.local.docker.run_command import ContainerPlan, run_command

# Time for a step to end by itself when the run is interrupted; chosen by eye.
_GRACE_SECONDS = 5.0
# A process that SIGKILL ended, as a shell counts it.
_KILLED = 137


class StepContainer:
    """A step's container while it runs. Make it with `start`.

    A process of the engine's command line writes its output to the log and has its exit code.
    """

    def __init__(
        self, engine: Engine, plan: ContainerPlan, process: asyncio.subprocess.Process, log: BinaryIO
    ) -> None:
        self._engine = engine
        self._plan = plan
        self._process = process
        self._log = log

    @classmethod
    async def start(
        cls, engine: Engine, plan: ContainerPlan, environment: Mapping[str, str], log: BinaryIO
    ) -> Self:
        """Start a container.

        Args:
            engine: Where.
            plan: The container.
            environment: Of the engine's command line, which passes some of it on.
            log: Where the output goes.
        """
        process = await asyncio.create_subprocess_exec(
            engine.program,
            *run_command(plan),
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=asyncio.subprocess.STDOUT,
            process_group=0,
        )
        return cls(engine, plan, process, log)

    @property
    def pid(self) -> int:
        """Number of the process that stands for the container."""
        return self._process.pid

    async def wait(self, deadline: float | None) -> int:
        """Wait for the end.

        Args:
            deadline: When it is ended, by `time.time()`; `None` sets no limit.

        Returns:
            The exit code.

        Raises:
            PermanentError: The engine did not start it.
        """
        remaining = None if deadline is None else max(0.0, deadline - time.time())
        try:
            async with asyncio.timeout(remaining):
                exit_code = await self._process.wait()
        except TimeoutError:
            self._note("ended: it ran past the time in which its retry policy allows attempts")
            return await self.end()
        if exit_code == _KILLED and await asyncio.to_thread(self._engine.ran_out_of_memory, self._plan.name):
            limit = (self._plan.memory_limit or 0.0) / 2**20
            self._note(f"killed: it held more memory than its limit of {limit:.0f} MiB")
        await self._remove()
        if exit_code == NOT_STARTED:
            raise PermanentError(
                describe(
                    "The Docker engine did not run the step to its end", received=f"image={self._plan.image}"
                )
            )
        return exit_code

    async def end(self) -> int:
        """End it, by force where it does not end by itself.

        Returns:
            The exit code.
        """
        await asyncio.to_thread(self._engine.stop, self._plan.name, _GRACE_SECONDS)
        # The command line waits for a container that it was about to make when it was to end.
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        exit_code = await self._process.wait()
        await self._remove()
        return exit_code

    async def _remove(self) -> None:
        await asyncio.to_thread(self._engine.remove, [self._plan.name])
        if self._plan.scratch is not None:
            await asyncio.to_thread(shutil.rmtree, self._plan.scratch, ignore_errors=True)

    def _note(self, what: str) -> None:
        self._log.write(f"{what}\n".encode())
        self._log.flush()


def scratch_of(task_folder: Path) -> Path:
    """Return the folder that is a step's `/tmp`, made anew."""
    folder = task_folder / "tmp"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
