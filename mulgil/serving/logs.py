"""The server's log: one JSON object a line, without any value that a client sent."""

from __future__ import annotations

import sys
import time
import traceback
from datetime import UTC, datetime

import msgspec

# A client's mistakes are the client's to read; a log line for each would let it fill a disk. Chosen by eye.
_MOST_REFUSALS_A_SECOND = 20


def write_event(message: str, *, level: str = "info", **fields: object) -> None:
    """Write one line.

    Args:
        message: What happened, for a reader.
        level: `info`, `warning` or `error`.
        fields: What a machine searches by.
    """
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    line = msgspec.json.encode({"time": at, "level": level, "message": message, **fields})
    # In one write, so that the lines of several workers do not mix; `print` writes the line's end by itself.
    sys.stdout.write(line.decode() + "\n")
    sys.stdout.flush()


def write_failure(message: str, exc: BaseException, **fields: object) -> None:
    """Write where a defect is: the exception's type and its way; its message may hold a client's values."""
    way = [
        f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(exc.__traceback__)
    ]
    write_event(message, level="error", error=type(exc).__name__, stack=way, **fields)


class RequestLog:
    """Writes a line for each prediction request of the chosen kind.

    Args:
        kind: `none`, `refused` (by their nature few; more than some a second are only counted) or `all`.

    Attributes:
        writes_all: Whether right requests are written too.
    """

    def __init__(self, kind: str = "refused") -> None:
        self.writes_all = kind == "all"
        self._writes_refused = kind != "none"
        self._second = 0
        self._refusals = self._left_out = 0

    def write(self, identifier: bytes, protocol: str, status: int, seconds: float) -> None:
        """Write one request's line."""
        if not self.writes_all and (not self._writes_refused or self._is_too_often()):
            return
        level = "info" if status < 400 else "warning" if status < 500 else "error"
        left_out = {"left_out": self._left_out} if self._left_out else {}
        self._left_out = 0
        write_event(
            "request",
            level=level,
            request_id=identifier.decode(),
            protocol=protocol,
            status=status,
            milliseconds=round(seconds * 1e3, 3),
            **left_out,
        )

    def _is_too_often(self) -> bool:
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._refusals = second, 0
        self._refusals += 1
        if self._refusals > _MOST_REFUSALS_A_SECOND:
            self._left_out += 1
            return True
        return False
