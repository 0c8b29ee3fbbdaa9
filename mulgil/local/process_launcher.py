"""Starts a container's command as a process, in the environment that stands for its image."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

from mulgil.local.container_step import ContainerProcess, check_container
from mulgil.local.cores import Cores
from mulgil.local.interpreters import Interpreters
from mulgil.local.pipeline_spec import Container
from mulgil.local.placeholders import TaskContext
from mulgil.local.resources import Demand


class ProcessLauncher:
    """Starts the steps of one run as processes of this machine.

    Args:
        folder: The run's.
        images: Of the steps that will probably run, in their order; their imports are done ahead.
    """

    def __init__(self, folder: Path, images: Iterable[str] = ()) -> None:
        self._cores = Cores()
        self._interpreters = Interpreters(images, folder)

    def check(self, name: str, container: Container) -> None:
        """Refuse a container that cannot run on this machine.

        Raises:
            UnsupportedPipelineError: Its image has no environment here, or it is a Python function of KFP's.
            PermanentError: Its environment is not installed.
        """
        check_container(name, container)

    async def prepare(self) -> None:
        """Begin with the imports of the first steps; those of the others follow as there is room for them."""
        await self._interpreters.prepare()

    def while_working(self) -> AbstractContextManager[None]:
        """Leave a core to a step that works within."""
        return self._interpreters.while_working()

    async def forget(self, image: str) -> None:
        """Expect a step no more, and end what waits for nobody."""
        await self._interpreters.forget(image)

    async def start(
        self, container: Container, context: TaskContext, folder: Path, log: BinaryIO, demand: Demand
    ) -> ContainerProcess:
        """Start a container's command; it works in the task's folder.

        Raises:
            PermanentError: It cannot be started.
        """
        # One that waits already has all cores.
        interpreters = self._interpreters if demand.core_limit is None else None
        async with self._cores.limited_to(demand.core_limit):
            return await ContainerProcess.start(
                container, context, folder, log, interpreters, demand.memory_limit
            )

    async def close(self) -> None:
        """End the interpreters that nobody needed."""
        await self._interpreters.close()
