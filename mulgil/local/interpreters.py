"""Interpreters that do the imports of coming steps while earlier steps work.

Each step gets a copy of one that has imported and has run nothing, so that no step sees another's state.
Where `mulgil up --warm` keeps some between runs, those are taken first.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from mulgil.local.environments import Environment, find_environment
from mulgil.local.interpreter import Interpreter
from mulgil.local.interpreter_tree import InterpreterTree, recipe_of
from mulgil.local.shared_imports import Imports
from mulgil.local.warm_interpreters import WarmInterpreters

# Coming steps whose imports are done ahead. TFDV and TensorFlow hold 0.6 GB each, and laptops begin at 8.
# Chosen by eye.
_MOST_AHEAD = 4


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


class Interpreters:
    """The waiting interpreters of one run.

    Args:
        images: Of the steps that are expected to run, in their order.
        folder: Where they start; it outlives them.
    """

    def __init__(self, images: Iterable[str], folder: Path) -> None:
        self._coming = [find_environment(image) for image in images]
        self._folder = folder
        self._warm = WarmInterpreters()
        self._trees: dict[str, InterpreterTree] = {}
        self._cores = len(os.sched_getaffinity(0))
        self._working = 0
        self._imports: set[asyncio.Task[None]] = set()

    async def prepare(self) -> None:
        """Begin with the imports of the first steps; those of the others follow as there is room for them."""
        cold: dict[Path, list[Environment]] = {}
        for environment in dict.fromkeys(self._coming):
            if not await self._warm.has(environment):
                cold.setdefault(environment.prefix, []).append(environment)
        for environments in cold.values():
            components = [environment.component for environment in environments]
            tree = InterpreterTree(environments[0], components, self._folder)
            self._trees |= dict.fromkeys(components, tree)
        self._go_on()

    def _go_on(self) -> None:
        """Begin with as many imports as there are cores beside the steps that work, but always with one."""
        while not self._imports or len(self._imports) + self._working < self._cores:
            following = self._next()
            if following is None:
                return
            task = asyncio.create_task(self._import(*following))
            self._imports.add(task)
            task.add_done_callback(self._note_import)

    def _next(self) -> tuple[InterpreterTree, Imports] | None:
        for environment in self._coming[:_MOST_AHEAD]:
            tree = self._trees.get(environment.component)
            node = tree.next_on_the_way(environment.component) if tree is not None else None
            if tree is not None and node is not None:
                return tree, node
        return None

    async def _import(self, tree: InterpreterTree, node: Imports) -> None:
        # A step for which it is missing is started without it.
        with contextlib.suppress(OSError):
            await tree.grow(node)

    def _note_import(self, task: asyncio.Task[None]) -> None:
        self._imports.discard(task)
        if not task.cancelled():
            self._go_on()

    async def hand_over(
        self, image: str, words: Sequence[str], variables: Mapping[str, str], folder: Path, log: Path
    ) -> StepProcess | None:
        """Give a step's command line to an interpreter that has done its imports.

        Args:
            image: The step's.
            words: The command line.
            variables: The step's process environment.
            folder: The step's working directory.
            log: A file that its output is appended to.

        Returns:
            The process, now the step's; `None` where there is none, and the step is to be started.
        """
        environment = find_environment(image)
        module = module_of(words)
        if module != f"components.{environment.component}":
            return None
        # One that ended meanwhile, whatever ended it, is no help: the step is started afresh.
        with contextlib.suppress(OSError):
            interpreter = await self._take(environment)
            if interpreter is not None:
                await interpreter.give(module, words[3:], variables, folder, log)
                return interpreter
        return None

    async def _take(self, environment: Environment) -> Interpreter | None:
        tree = self._trees.get(environment.component)
        if tree is None:
            return await self._warm.take(environment)
        # What was edited since the imports began is not what they have read.
        is_fresh = await asyncio.to_thread(recipe_of, environment) == tree.recipe
        return await tree.copy(environment.component) if is_fresh else None

    @contextlib.contextmanager
    def while_working(self) -> Iterator[None]:
        """Leave a core to a step that works within."""
        self._working += 1
        self._go_on()
        try:
            yield
        finally:
            self._working -= 1
            self._go_on()

    async def forget(self, image: str) -> None:
        """Expect a step no more, and end what waits for nobody."""
        with contextlib.suppress(ValueError):
            self._coming.remove(find_environment(image))
        if self._working:
            return
        needed = {environment.component for environment in self._coming}
        for tree in set(self._trees.values()):
            if not tree.components & needed:
                self._trees = {name: other for name, other in self._trees.items() if other is not tree}
                await tree.close()
        self._go_on()

    async def close(self) -> None:
        """End all that wait."""
        self._coming.clear()
        self._warm.close()
        for tree in set(self._trees.values()):
            await tree.close()
        await asyncio.gather(*self._imports, return_exceptions=True)
