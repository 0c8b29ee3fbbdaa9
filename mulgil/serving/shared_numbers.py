"""Numbers in memory that the workers of one server share: each writes its own row, and any reads all.

A row outlives its worker, so that the next one in its place goes on counting. An aligned number of eight
bytes is written and read whole on the machines that Mulgil runs on, so that nobody waits for a lock.
"""

from __future__ import annotations

import mmap
import os

from mulgil.errors import PermanentError, describe

# Enough for ten thousand columns; memory that is not written to is not taken.
ROW_NUMBERS = 1 << 16
_NUMBER_BYTES = 8

# What the supervisor and the worker tell each other.
PID, IS_READY, RESTARTS, SUPERVISOR = range(4)
_FIRST_FREE = 4


class SharedNumbers:
    """The rows of all workers.

    Args:
        workers: How many there are.
        place: Whose row is one's own, from 0.
        descriptor: The memory's, as the supervisor made it; -1 for memory of this process alone.

    Attributes:
        workers: How many there are.
        own: The own row.
    """

    def __init__(self, workers: int = 1, place: int = 0, descriptor: int = -1) -> None:
        self.workers = workers
        memory = memoryview(mmap.mmap(descriptor, workers * ROW_NUMBERS * _NUMBER_BYTES)).cast("d")
        self._rows = [memory[at * ROW_NUMBERS : (at + 1) * ROW_NUMBERS] for at in range(workers)]
        self.own = self._rows[place]
        self._reserved = _FIRST_FREE

    @staticmethod
    def make_memory(workers: int) -> int:
        """Make the memory of several workers' rows; return its descriptor."""
        descriptor = os.memfd_create("mulgil-serving")
        os.ftruncate(descriptor, workers * ROW_NUMBERS * _NUMBER_BYTES)
        return descriptor

    def reserve(self, count: int) -> int:
        """Reserve places in every row; all workers reserve the same in the same order.

        Returns:
            The first place.

        Raises:
            PermanentError: A row has no more.
        """
        first = self._reserved
        self._reserved += count
        if self._reserved > ROW_NUMBERS:
            raise PermanentError(
                describe(
                    "The model has more columns than the server can count by",
                    expected=f"at most {ROW_NUMBERS} numbers a worker",
                    received=f"numbers={self._reserved}",
                )
            )
        return first

    def row(self, worker: int) -> memoryview[float]:
        """Return a worker's row."""
        return self._rows[worker]

    def total(self, place: int) -> float:
        """Return a place's sum over all workers."""
        return sum(row[place] for row in self._rows)
