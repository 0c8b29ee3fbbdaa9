"""Events that wait to be sent, in bodies of one batch each.

They come and go as they were written, several in one stretch of bytes: to copy them into one body costs a
request as much as to write half of its events.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

# A body's, or of the events that came in one and are longer. About two hundred usual records. Chosen by eye.
_BATCH_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class EventBatch:
    """What goes in one body.

    Attributes:
        parts: The events, commas between.
        length: Of the parts together, in bytes.
        records: How many records they are of.
    """

    parts: list[bytes]
    length: int
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
        self._open: list[bytes] = []
        self._open_bytes = self._open_records = 0

    @property
    def records(self) -> int:
        """How many wait."""
        return self._closed_records + self._open_records

    @property
    def has_closed(self) -> bool:
        """Whether a batch is full."""
        return bool(self._closed)

    def add(self, events: bytes, records: int) -> bool:
        """Keep the events of some records, a comma behind each; return whether there is room for them."""
        if self._open_bytes + len(events) > _BATCH_BYTES:
            held = self._closed_bytes + self._open_bytes + len(events)
            if self.records >= self._most_records or held > self._most_bytes:
                return False
            if self._open:
                self._close_open()
                self._on_closed()
        self._open.append(events)
        self._open_bytes += len(events)
        self._open_records += records
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
        self._closed_bytes -= batch.length

    def _close_open(self) -> None:
        if self._open_records:
            # Without the last comma.
            self._open[-1] = self._open[-1][:-1]
            self._closed.append(EventBatch(self._open, self._open_bytes - 1, self._open_records))
            self._closed_records += self._open_records
            self._closed_bytes += self._open_bytes - 1
            self._open, self._open_bytes, self._open_records = [], 0, 0
