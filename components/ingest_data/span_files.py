"""Which spans a location has now, what their files hold, and bringing one span's files to this machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from components.ingest_data.locations import copy_names, is_url, open_store
from components.ingest_data.unreadable import describe_unreadable
from mulgil.artifacts import fingerprint_file
from mulgil.contract.sources import spans_at
from mulgil.contract.spans import Span, Window, gather_spans, pattern_of
from mulgil.errors import InputError, describe

_SOME = 3


@dataclass(frozen=True)
class FoundSpan:
    """A span that is there.

    Attributes:
        span: Its name and its files.
        contents: What stands for the content of its files: a SHA-256, or what a store says. By their whole
            names, since files of several folders may have the same one.
    """

    span: Span
    contents: Mapping[str, str]


@dataclass(frozen=True)
class FoundSpans:
    """The spans of a location.

    Attributes:
        chosen: Those within the window, the oldest first; at least one.
        names: Of all that are there.
        others: Files that are of none.
        older: How many there are before the window.
    """

    chosen: tuple[FoundSpan, ...]
    names: frozenset[str]
    others: tuple[str, ...]
    older: int


class SpanFiles:
    """The files of a location with placeholders.

    Args:
        location: A resolved path or a URL.
    """

    def __init__(self, location: str) -> None:
        self._location = location

    def find(self, window: Window | None) -> FoundSpans:
        """Look which spans are there; of a store's files nothing is fetched.

        Raises:
            InputError: There is none within the window, or a file cannot be read.
            TemporaryError: The store cannot be reached.
        """
        spans, others = self._list()
        chosen = (window or Window()).choose(spans)
        if not chosen:
            there = f"{len(spans)}, from {spans[0].name} to {spans[-1].name}" if spans else "none"
            raise InputError(
                describe(
                    f"There is no span to read at {self._location}",
                    expected="at least one file of that form" + (" within `source.spans`" if spans else ""),
                    received=f"{there}; files of another form: {_shorten(others) or 'none'}",
                    next_step="correct "
                    + ("`source.spans`" if spans else "`source.location`")
                    + ", or bring such a file",
                )
            )
        found = tuple(FoundSpan(span, dict(self._contents_of(span))) for span in chosen)
        older = spans.index(chosen[0])
        return FoundSpans(found, frozenset(span.name for span in spans), others, older)

    def fetch(self, span: Span, folder: Path) -> list[Path]:
        """Return a span's files on this machine; those of a store are copied into a folder."""
        if not is_url(self._location):
            return [Path(file) for file in span.files]
        with open_store(self._location) as (store, _):
            return copy_names(store, span.files, folder)

    def _list(self) -> tuple[tuple[Span, ...], tuple[str, ...]]:
        if not is_url(self._location):
            return spans_at(Path(self._location))
        with open_store(self._location) as (store, name):
            pattern = pattern_of(name)
            found = {*store.glob(pattern), *store.glob(f"{pattern}/*")}
            files = [one for one in found if not _is_hidden(one) and not store.isdir(one)]
        return gather_spans(name, files)

    def _contents_of(self, span: Span) -> Iterator[tuple[str, str]]:
        if not is_url(self._location):
            for file in span.files:
                try:
                    yield file, fingerprint_file(Path(file))
                except OSError as exc:
                    raise describe_unreadable(file, exc) from exc
            return
        with open_store(self._location) as (store, _):
            for file in span.files:
                yield file, _checksum(store, file)


def _checksum(store: Any, name: str) -> str:
    """Return what stands for an object's content, such as its ETag, without reading it."""
    return str(store.checksum(name))


def _is_hidden(name: str) -> bool:
    return PurePosixPath(name).name.startswith((".", "_"))


def _shorten(names: tuple[str, ...]) -> str:
    return ", ".join(names[:_SOME]) + (f" and {len(names) - _SOME} more" if len(names) > _SOME else "")
