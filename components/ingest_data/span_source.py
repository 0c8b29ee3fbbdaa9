"""What every source in spans can be asked, whether its spans are files, folders or answers to a query."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from components.ingest_data.table import RawTable
from mulgil.contract.spans import Span

_SOME = 3


@dataclass(frozen=True)
class FoundSpan:
    """A span that is there.

    Attributes:
        span: Its name and its files.
        contents: What stands for its content, such as a SHA-256 or an ETag; of files by their whole names,
            since those of several folders may have the same one.
    """

    span: Span
    contents: Mapping[str, str]


@dataclass(frozen=True)
class FoundSpans:
    """The spans of a source.

    Attributes:
        chosen: Those within the window, the oldest first.
        names: Of all that are there, or that nobody asked for because they are before the window.
        others: Files that are of none.
        older: How many there are before the window.
    """

    chosen: tuple[FoundSpan, ...]
    names: frozenset[str]
    others: tuple[str, ...] = ()
    older: int = 0


class SpanSource(Protocol):
    """A source in spans.

    Attributes:
        location: Where all of them are; what is kept of them is kept under it.
    """

    location: str

    def find(self) -> FoundSpans:
        """Look which spans are there, and fetch none.

        Raises:
            InputError: There is none within the window, or one cannot be read.
            TemporaryError: Whoever has them did not answer.
        """

    def read(self, span: Span, folder: Path) -> RawTable:
        """Read a span.

        Args:
            span: One that was found.
            folder: Where a download goes; it must stay until the rows are read.

        Raises:
            InputError: It cannot be read.
            TemporaryError: Whoever has it did not answer.
        """


def look_back(
    periods: Sequence[Span], newest: int | None, look: Callable[[Span], Mapping[str, str] | None]
) -> FoundSpans:
    """Look for spans in periods of the calendar until there are enough of them.

    Args:
        periods: Those that may have a span, the newest first.
        newest: How many spans are enough; all, if not given.
        look: Returns what stands for a span's content; `None` where it is not there.
    """
    found: list[FoundSpan] = []
    left = deque(periods)
    while left and len(found) != newest:
        span = left.popleft()
        contents = look(span)
        if contents is not None:
            found.append(FoundSpan(span, contents))
    names = frozenset(span.name for span in left) | {one.span.name for one in found}
    return FoundSpans(tuple(reversed(found)), names, older=len(left))


def shorten(names: tuple[str, ...]) -> str:
    """Name some of several, for a message."""
    return ", ".join(names[:_SOME]) + (f" and {len(names) - _SOME} more" if len(names) > _SOME else "")
