"""Events that wait to be sent, in bodies of one batch each.

An event is copied to where the next one goes, in one stretch of memory that is used again for every batch.
Kept as objects of their own until they are sent, events would each lie in memory that the processor has not
seen lately, which costs a request more than to write its event.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

# A body's, or of the one event that is longer. About two hundred events of a usual request. Chosen by eye.
_BATCH_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class EventBatch:
    """What goes in one body.

    Attributes:
        body: The events, commas between.
        records: How many records they are of.
    """

    body: bytes
    records: int


class EventBatches:
    """Batches in order, the last one open.

    Args:
        most_records: That may wait.
        most_bytes: Likewise.

    Attributes:
        records: That wait.
        closed: Batches that are full.
    """

    def __init__(self, most_records: int, most_bytes: int) -> None:
        self.records = 0
        self._bytes = 0
        self._most_records, self._most_bytes = most_records, most_bytes
        self.closed: deque[EventBatch] = deque()
        self._open = memoryview(bytearray(_BATCH_BYTES))
        self._open_bytes = self._open_records = 0

    def add(self, events: bytes) -> bool:
        """Keep the events of one record; return whether there is room for them."""
        size = len(events)
        if self.records >= self._most_records or self._bytes + size > self._most_bytes:
            return False
        self.records += 1
        self._bytes += size
        begin = self._open_bytes
        if begin + size + 1 > _BATCH_BYTES:
            self._close()
            begin = 0
            if size > _BATCH_BYTES:
                self.closed.append(EventBatch(events, 1))
                return True
        if begin:
            # A comma, which JSON wants between.
            self._open[begin] = 0x2C
            begin += 1
        end = begin + size
        self._open[begin:end] = events
        self._open_bytes = end
        self._open_records += 1
        return True

    def first(self) -> EventBatch | None:
        """Return the oldest batch, which is still counted; the open one where there is no other."""
        if not self.closed:
            self._close()
        return self.closed[0] if self.closed else None

    def drop_first(self) -> None:
        """Forget the oldest batch."""
        batch = self.closed.popleft()
        self.records -= batch.records
        # All but the commas.
        self._bytes -= len(batch.body) - batch.records + 1

    def _close(self) -> None:
        if self._open_records:
            body = bytes(self._open[: self._open_bytes])
            self.closed.append(EventBatch(body, self._open_records))
            self._open_bytes = self._open_records = 0
