"""How a step's command is started: as a process of this machine, or in a container of its image."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, Protocol

from mulgil.local.pipeline_spec import Container
from mulgil.local.placeholders import TaskContext
from mulgil.local.resources import Demand


class RunningStep(Protocol):
    """A step's command while it runs."""

    @property
    def pid(self) -> int:
        """Number of the process that leads its group."""

    async def wait(self, deadline: float | None) -> int:
        """Wait for the end.

        Args:
            deadline: When it is ended, by `time.time()`; `None` sets no limit.

        Returns:
            The exit code; negative where a signal ended it.
        """

    async def end(self) -> int:
        """End it and what it started, by force where it does not end by itself.

        Returns:
            The exit code.
        """


class Launcher(Protocol):
    """Starts the steps of one run."""

    def check(self, name: str, container: Container) -> None:
        """Refuse a container that cannot run here.

        Args:
            name: Its executor's.
            container: The container.

        Raises:
            MulgilError: It cannot.
        """

    async def prepare(self) -> None:
        """Make ready for the steps of the run, as far as that takes time."""

    def while_working(self) -> AbstractContextManager[None]:
        """Leave a core to a step that works within."""

    async def forget(self, image: str) -> None:
        """Expect a step no more.

        Args:
            image: The step's.
        """

    async def start(
        self, container: Container, context: TaskContext, folder: Path, log: BinaryIO, demand: Demand
    ) -> RunningStep:
        """Start a container's command.

        Args:
            container: The command.
            context: What its placeholders stand for.
            folder: The task's.
            log: Where its output goes.
            demand: What it may use; the limits hold while it runs.

        Raises:
            MulgilError: It cannot be started.
        """

    async def close(self) -> None:
        """Leave nothing behind."""
