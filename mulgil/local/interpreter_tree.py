"""The waiting interpreters of one environment, each copied from one that has imported what both need."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from pathlib import Path

from mulgil.local.environments import Environment
from mulgil.local.interpreter import Interpreter
from mulgil.local.recipe import fingerprint_recipe
from mulgil.local.shared_imports import Imports, branch, choose_imports, wants_of


class InterpreterTree:
    """The waiting interpreters of one environment.

    Args:
        environment: The environment, by any of the components.
        components: For whose steps they wait.
        folder: Where they start; it outlives them.
    """

    def __init__(self, environment: Environment, components: Iterable[str], folder: Path) -> None:
        self._environment = environment
        self._folder = folder
        # Before anything is imported: what is edited meanwhile makes them stale.
        self.recipe = recipe_of(environment)
        self._imports = choose_imports({component: wants_of(component) for component in components})
        self._origins = branch(self._imports.values())
        self._growing: dict[Imports, asyncio.Task[Interpreter]] = {}
        self._is_closed = False
        self._cores = os.sched_getaffinity(0)

    @property
    def components(self) -> frozenset[str]:
        """For whose steps they wait."""
        return frozenset(self._imports)

    @property
    def is_whole(self) -> bool:
        """Whether none of them ended."""
        grown = [growing for growing in self._growing.values() if growing.done()]
        return all(task.exception() is None and task.result().is_alive for task in grown)

    def is_ready(self, component: str) -> bool:
        """Whether a component's imports are done."""
        return self._is_grown(self._imports[component])

    def next_on_the_way(self, component: str) -> Imports | None:
        """Return what can be imported next for a component; `None` where that is under way or all is done."""
        way: list[Imports] = []
        node: Imports | None = self._imports[component]
        while node is not None and not self._is_grown(node):
            way.append(node)
            node = self._origins[node]
        return way[-1] if way and way[-1] not in self._growing else None

    def _is_grown(self, node: Imports) -> bool:
        growing = self._growing.get(node)
        return growing is not None and growing.done() and growing.exception() is None

    async def grow(self, node: Imports) -> Interpreter:
        """Return the interpreter that has imported this, once it has.

        Raises:
            OSError: It ended, or cannot be started.
        """
        if self._is_closed:
            raise ConnectionError
        if node not in self._growing:
            self._growing[node] = asyncio.create_task(self._bring_up(node))
        # Who waits may be cancelled; others wait too.
        return await asyncio.shield(self._growing[node])

    async def _bring_up(self, node: Imports) -> Interpreter:
        origin = self._origins[node]
        if origin is None:
            interpreter = await Interpreter.start(self._environment, self._folder, self._cores)
        else:
            interpreter = await (await self.grow(origin)).copy()
        try:
            await interpreter.load(node[len(origin or ()) :])
        except BaseException:
            interpreter.end()
            raise
        return interpreter

    async def copy(self, component: str) -> Interpreter:
        """Return an interpreter that is to be a component's step, with the imports done.

        Raises:
            OSError: It ended, or cannot be started.
        """
        return await (await self.grow(self._imports[component])).copy()

    async def copy_to(self, component: str, descriptor: int) -> None:
        """Have a copy that has done a component's imports listen to a socket.

        Raises:
            OSError: It ended.
        """
        await (await self.grow(self._imports[component])).copy_to(descriptor)

    async def close(self) -> None:
        """End them; what was copied for a step goes on."""
        self._is_closed = True
        for growing in self._growing.values():
            growing.cancel()
        for grown in await asyncio.gather(*self._growing.values(), return_exceptions=True):
            if isinstance(grown, Interpreter):
                grown.end()


def recipe_of(environment: Environment) -> str:
    """Return the hash of what an interpreter of an environment would be made of now."""
    return fingerprint_recipe(environment.prefix, environment.lock, environment.variables)
