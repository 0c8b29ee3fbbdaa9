"""Events that wait to be sent, in bodies of one batch each.

An event is copied to where the next one goes, in one stretch of memory that is used again for every batch.
Kept as objects of their own until they are sent, events would each lie in memory that the processor has not
seen lately, which costs a request more than to write its event.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
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
        most_records: That may wait. It is looked at when a batch is full, and not for every event.
        most_bytes: Likewise.
        on_closed: Told that a batch is full.
    """

    def __init__(self, most_records: int, most_bytes: int, on_closed: Callable[[], None]) -> None:
        self._most_records, self._most_bytes = most_records, most_bytes
        self._on_closed = on_closed
        self._closed: deque[EventBatch] = deque()
        self._closed_records = self._closed_bytes = 0
        self._open = memoryview(bytearray(_BATCH_BYTES))
        self._open_bytes = self._open_records = 0

    @property
    def records(self) -> int:
        """How many wait."""
        return self._closed_records + self._open_records

    @property
    def has_closed(self) -> bool:
        """Whether a batch is full."""
        return bool(self._closed)

    def add(self, events: bytes) -> bool:
        """Keep the events of one record, a comma behind each; return whether there is room for them."""
        end = self._open_bytes + len(events)
        if end > _BATCH_BYTES:
            return self._add_to_next(events)
        self._open[self._open_bytes : end] = events
        self._open_bytes = end
        self._open_records += 1
        return True

    def first(self) -> EventBatch | None:
        """Return the oldest batch, which is still counted; the open one where there is no other."""
        if not self._closed:
            self._close_open()
        return self._closed[0] if self._closed else None

    def drop_first(self) -> None:
        """Forget the oldest batch."""
        batch = self._closed.popleft()
        self._closed_records -= batch.records
        self._closed_bytes -= len(batch.body)

    def _add_to_next(self, events: bytes) -> bool:
        held_bytes = self._closed_bytes + self._open_bytes + len(events)
        if self.records >= self._most_records or held_bytes > self._most_bytes:
            return False
        self._close_open()
        self._on_closed()
        if len(events) <= _BATCH_BYTES:
            return self.add(events)
        self._close(events[:-1], 1)
        return True

    def _close_open(self) -> None:
        if self._open_records:
            # Without the last comma.
            self._close(bytes(self._open[: self._open_bytes - 1]), self._open_records)
            self._open_bytes = self._open_records = 0

    def _close(self, body: bytes, records: int) -> None:
        self._closed.append(EventBatch(body, records))
        self._closed_records += records
        self._closed_bytes += len(body)
