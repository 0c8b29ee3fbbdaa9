"""Spans that are files or folders, of this machine or of an object store."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from components.ingest_data.image_folder import tabulate_images
from components.ingest_data.joining import join_tables
from components.ingest_data.locations import copy_names, is_url, open_store
from components.ingest_data.sources import read_file
from components.ingest_data.span_source import FoundSpan, FoundSpans, shorten
from components.ingest_data.table import RawTable
from components.ingest_data.unreadable import describe_unreadable
from mulgil.artifacts import fingerprint_file
from mulgil.contract.sources import FileSource, ImageFolderSource, image_spans_at, is_hidden, spans_at
from mulgil.contract.spans import Span, Window, gather_spans, has_spans, pattern_of
from mulgil.errors import InputError, describe


class _Files:
    """The files of a location with placeholders.

    Args:
        location: A resolved path or a URL.
        window: Which spans are meant.
    """

    def __init__(self, location: str, window: Window | None) -> None:
        self.location = location
        self._window = window or Window()

    def find(self) -> FoundSpans:
        """Look which spans are there; of a store's files nothing is fetched."""
        spans, others = self._list()
        chosen = self._window.choose(spans)
        if not chosen:
            there = f"{len(spans)}, from {spans[0].name} to {spans[-1].name}" if spans else "none"
            raise InputError(
                describe(
                    f"There is no span to read at {self.location}",
                    expected="at least one file of that form" + (" within `source.spans`" if spans else ""),
                    received=f"{there}; files of another form: {shorten(others) or 'none'}",
                    next_step="correct "
                    + ("`source.spans`" if spans else "`source.location`")
                    + ", or bring such a file",
                )
            )
        found = tuple(FoundSpan(span, dict(self._contents_of(span))) for span in chosen)
        return FoundSpans(found, frozenset(span.name for span in spans), others, spans.index(chosen[0]))

    def _list(self) -> tuple[tuple[Span, ...], tuple[str, ...]]:
        if not is_url(self.location):
            return self._list_here(Path(self.location))
        with open_store(self.location) as (store, name):
            # It may know yet what was there before.
            store.invalidate_cache()
            return gather_spans(name, list(self._list_in(store, pattern_of(name))))

    def _list_here(self, path: Path) -> tuple[tuple[Span, ...], tuple[str, ...]]:
        return spans_at(path)

    def _list_in(self, store: Any, pattern: str) -> Iterator[str]:
        found = {*store.glob(pattern), *store.glob(f"{pattern}/*")}
        hidden = (".", "_")
        return (n for n in found if not PurePosixPath(n).name.startswith(hidden) and not store.isdir(n))

    def _fetch(self, span: Span, folder: Path) -> list[Path]:
        if not is_url(self.location):
            return [Path(file) for file in span.files]
        with open_store(self.location) as (store, _):
            return copy_names(store, span.files, folder)

    def _contents_of(self, span: Span) -> Iterator[tuple[str, str]]:
        if not is_url(self.location):
            for file in span.files:
                try:
                    yield file, fingerprint_file(Path(file))
                except OSError as exc:
                    raise describe_unreadable(file, exc) from exc
            return
        with open_store(self.location) as (store, _):
            for file in span.files:
                yield file, _checksum(store, file)


class TableSpans(_Files):
    """Spans of which each is a table in one file or several.

    Args:
        source: Where they are and how they are written; the location is resolved.
        names: Those that their columns may have.
    """

    def __init__(self, source: FileSource, names: Collection[str]) -> None:
        super().__init__(source.location, source.spans)
        self._source = source
        self._names = names

    def read(self, span: Span, folder: Path) -> RawTable:
        """Read a span's files as one table; those of a store are copied into a folder."""
        files = self._fetch(span, folder)
        tables = (read_file(self._source, file, str(file), self._names) for file in files)
        return join_tables(tables, str(files[0]) if len(files) == 1 else f"{self.location}, span {span.name}")


class ImageSpans(_Files):
    """Spans of which each is a folder of images, in folders by class.

    Args:
        source: Where they are; the location is resolved.
    """

    def __init__(self, source: ImageFolderSource) -> None:
        super().__init__(source.location, source.spans)

    def read(self, span: Span, folder: Path) -> RawTable:
        """Read a span's images; their paths begin with the span's own folder."""
        base, depth = self._base()
        paths = [PurePosixPath(file).relative_to(base) for file in span.files]
        return tabulate_images(
            f"{self.location}, span {span.name}", paths, self._fetch(span, folder), depth=depth
        )

    def _base(self) -> tuple[PurePosixPath, int]:
        """Return the folder that all spans are in, and how many folders on the way name a span."""
        name = self.location
        if is_url(name):
            with open_store(name) as (_, name):
                pass
        parts = PurePosixPath(name).parts
        first = next(place for place, part in enumerate(parts) if has_spans(part))
        return PurePosixPath(*parts[:first]), len(parts) - first

    def _list_here(self, path: Path) -> tuple[tuple[Span, ...], tuple[str, ...]]:
        return image_spans_at(path)

    def _list_in(self, store: Any, pattern: str) -> Iterator[str]:
        for folder in store.glob(pattern):
            if store.isdir(folder):
                yield from (
                    file
                    for file in store.find(folder)
                    if not is_hidden(PurePosixPath(file).relative_to(folder))
                )


def _checksum(store: Any, name: str) -> str:
    """Return what stands for an object's content, such as its ETag, without reading it."""
    return str(store.checksum(name))
