"""This machine's cores and memory, shared by the steps of a run.

Kubernetes reserves what a container requests and enforces its limits. Here requests are reserved likewise,
among the steps of one run. The limits are kept by who starts a step: a container by its engine; a process by
a set of cores to run on, and by being killed where it is seen to hold more memory than its limit.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mulgil.errors import UnsupportedPipelineError, describe
from mulgil.local.resources import Demand


@dataclass
class Machine:
    """The cores and the memory of this machine, and what of them is reserved.

    Attributes:
        cores: The cores that this process may use.
        memory: All of it.

    Units:
        Memory in bytes.
    """

    cores: frozenset[int] = field(default_factory=lambda: frozenset(os.sched_getaffinity(0)))
    memory: float = field(
        default_factory=lambda: float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    )

    def __post_init__(self) -> None:
        self._free_cores = float(len(self.cores))
        self._free_memory = self.memory
        self._freed = asyncio.Condition()

    @asynccontextmanager
    async def reserve(self, demand: Demand) -> AsyncIterator[None]:
        """Wait until a step's requests fit beside those of the steps that run, and reserve them.

        Raises:
            UnsupportedPipelineError: They never will.
        """
        if demand.cores > len(self.cores) or demand.memory > self.memory:
            raise UnsupportedPipelineError(
                describe(
                    "A step requests more than this machine has",
                    expected=f"at most {len(self.cores)} cores and {self.memory / 2**30:.1f} GiB of memory",
                    received=f"cores={demand.cores:g} memory={demand.memory / 2**30:.1f} GiB",
                )
            )
        async with self._freed:
            await self._freed.wait_for(
                lambda: demand.cores <= self._free_cores and demand.memory <= self._free_memory
            )
            self._free_cores -= demand.cores
            self._free_memory -= demand.memory
        try:
            yield
        finally:
            async with self._freed:
                self._free_cores += demand.cores
                self._free_memory += demand.memory
                self._freed.notify_all()


def memory_of_group(group: int) -> int:
    """Return the memory that the processes of a group hold, with each shared page counted once.

    Units:
        Bytes.
    """
    held = 0
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            if os.getpgid(int(folder.name)) != group:
                continue
            rollup = (folder / "smaps_rollup").read_text(encoding="ascii")
        except OSError:
            # It has ended meanwhile.
            continue
        held += sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return held * 1024
