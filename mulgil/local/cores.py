"""A limit of cores, as far as a process without privileges can keep one: a set of cores to run on."""

from __future__ import annotations

import asyncio
import itertools
import math
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager


class Cores:
    """The cores that this process may use, given to limited steps by turns."""

    def __init__(self) -> None:
        self._cores = frozenset(os.sched_getaffinity(0))
        self._next: Iterator[int] = itertools.cycle(sorted(self._cores))
        self._starting = asyncio.Lock()

    @asynccontextmanager
    async def limited_to(self, limit: float | None) -> AsyncIterator[None]:
        """Limit the cores of the step that is started within; the next such step gets the next cores.

        A process inherits the cores of the thread that starts it, so that one is started at a time.

        Args:
            limit: Rounded up to whole cores; `None` sets none.
        """
        async with self._starting:
            if limit is None:
                yield
                return
            os.sched_setaffinity(0, itertools.islice(self._next, min(math.ceil(limit), len(self._cores))))
            try:
                yield
            finally:
                os.sched_setaffinity(0, self._cores)
