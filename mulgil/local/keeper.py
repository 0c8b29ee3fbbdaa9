"""The keeper of warm interpreters, a process of its own between the runs.

Run as `python -m mulgil.local.keeper FOLDER IMAGE…`. It holds interpreters that have done each component's
imports. A run sends a socket, and what goes on with it is a copy of one of them. So what is given away is
used once, and does not depend on the keeper any more; what stays has run nothing, and the next run finds it
at once. It ends with the keeper, however that ends: the interpreter reads the end of its input.

A run holds its connection while it lasts. Nothing is imported meanwhile, as it would take the run's cores.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import socket
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from mulgil.local.channel import Channel
from mulgil.local.environments import Environment, find_environment
from mulgil.local.interpreter_tree import InterpreterTree

SOCKET = "socket"
# The request for how many are ready, and of how many.
COUNT = "count"
_LOCK = "lock"
_LOOK_SECONDS = 0.5
# Before those that ended of themselves are started again; chosen by eye.
_PATIENCE_SECONDS = 60.0


class Keeper:
    """Holds the interpreters and answers the runs.

    Args:
        folder: Where they start.
        wanted: The environments of the components that they are held for.
    """

    def __init__(self, folder: Path, wanted: Iterable[Environment]) -> None:
        self._folder = folder
        self._wanted = {environment.component: environment for environment in wanted}
        self._trees: dict[str, InterpreterTree] = {}
        self._not_before = 0.0
        self._runs: set[asyncio.Task[None]] = set()

    async def keep(self, listener: socket.socket) -> None:
        """Serve those who come in, until the folder is gone."""
        welcoming = asyncio.create_task(self._welcome(listener))
        try:
            while (self._folder / SOCKET).exists():
                if self._runs or not await self._grow():
                    await asyncio.sleep(_LOOK_SECONDS)
        finally:
            welcoming.cancel()
            for tree in set(self._trees.values()):
                await tree.close()

    async def _grow(self) -> bool:
        """Do one import that is missing; return whether there was one."""
        for tree in {tree for tree in self._trees.values() if not tree.is_whole}:
            self._not_before = time.monotonic() + _PATIENCE_SECONDS
            await self._drop(tree)
        missing = [name for name in self._wanted if name not in self._trees]
        if missing and time.monotonic() >= self._not_before:
            # An environment that cannot be read now may be on its way in.
            try:
                self._plant(self._wanted[missing[0]])
            except OSError:
                self._not_before = time.monotonic() + _PATIENCE_SECONDS
        for component, tree in self._trees.items():
            node = tree.next_on_the_way(component)
            if node is not None:
                with contextlib.suppress(OSError):
                    await tree.grow(node)
                return True
        return False

    def _plant(self, environment: Environment) -> None:
        components = [name for name, other in self._wanted.items() if other.prefix == environment.prefix]
        tree = InterpreterTree(environment, components, self._folder)
        self._trees |= dict.fromkeys(components, tree)

    async def _drop(self, tree: InterpreterTree) -> None:
        self._trees = {name: other for name, other in self._trees.items() if other is not tree}
        await tree.close()

    async def _welcome(self, listener: socket.socket) -> None:
        while True:
            connection, _ = await asyncio.get_running_loop().sock_accept(listener)
            run = asyncio.create_task(self._serve(Channel(connection)))
            self._runs.add(run)
            run.add_done_callback(self._runs.discard)

    async def _serve(self, channel: Channel) -> None:
        # Until the run is over, or turns out to be none of ours.
        with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
            while True:
                request = await channel.receive()
                if request == COUNT:
                    ready = sum(tree.is_ready(name) for name, tree in self._trees.items())
                    await channel.send([ready, len(self._wanted)])
                else:
                    await channel.send({"is_ready": await self._give(request, channel)})
        channel.close()

    async def _give(self, request: dict[str, Any], channel: Channel) -> bool:
        """Give a copy to the socket that came with the request, if one came; return whether there is one."""
        asked = Environment(
            request["component"], Path(request["prefix"]), Path(request["lock"]), request["variables"]
        )
        tree = self._trees.get(asked.component)
        if tree is not None and tree.recipe != request["recipe"]:
            await self._drop(tree)
            # The next ones are for a run like this one.
            for name in tree.components:
                self._wanted[name] = replace(asked, component=name)
            tree = None
        is_ready = tree is not None and tree.is_ready(asked.component)
        while channel.descriptors:
            descriptor = channel.descriptors.popleft()
            try:
                if is_ready and tree is not None:
                    await tree.copy_to(asked.component, descriptor)
            finally:
                # Where it did not get there, this was the last one, and the run sees the end of it.
                os.close(descriptor)
        return is_ready


def main() -> int:
    """Hold interpreters until asked to end."""
    folder, images = Path(sys.argv[1]), sys.argv[2:]
    with (folder / _LOCK).open("w") as lock, socket.socket(socket.AF_UNIX) as listener:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return 0
        wanted = [find_environment(image) for image in images]
        (folder / SOCKET).unlink(missing_ok=True)
        # An address has 108 bytes at the most, and a home's path may be longer.
        place = os.open(folder, os.O_PATH | os.O_DIRECTORY)
        listener.bind(f"/proc/self/fd/{place}/{SOCKET}")
        os.close(place)
        listener.listen()
        listener.setblocking(False)
        try:
            asyncio.run(_keep_until_asked_to_end(Keeper(folder, wanted), listener))
        finally:
            (folder / SOCKET).unlink(missing_ok=True)
    return 0


async def _keep_until_asked_to_end(keeper: Keeper, listener: socket.socket) -> None:
    keeping = asyncio.create_task(keeper.keep(listener))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, keeping.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await keeping


if __name__ == "__main__":
    raise SystemExit(main())
