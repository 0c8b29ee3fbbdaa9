"""Spans that are files of a web server: those that a page lists, or those whose names can be told."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from urllib.parse import urljoin

import httpx

from components.ingest_data.joining import join_tables
from components.ingest_data.locations import TIMEOUT_SECONDS, download, reached, require_success
from components.ingest_data.sources import read_file
from components.ingest_data.span_source import FoundSpan, FoundSpans, look_back, shorten
from components.ingest_data.table import RawTable
from mulgil.contract.periods import address_of, every_of, periods_between
from mulgil.contract.sources import FileSource
from mulgil.contract.spans import FileWindow, Span, gather_spans, has_dates
from mulgil.errors import InputError, describe

_NOT_THERE = {404, 410}
# So a bucket answers that may be read and not listed, whatever is not there.
_FORBIDDEN = 403
_NO_HEAD = {405, 501}
# A date is named by the clock on somebody's wall.
_AHEAD = timedelta(days=1)
_WORD = re.compile(r"[^\s\"'<>]+")


class WebSpans:
    """The files of a web server.

    Args:
        source: Where they are and how they are written.
        names: Those that their columns may have.
    """

    def __init__(self, source: FileSource, names: Collection[str]) -> None:
        assert source.spans is not None
        self.location = source.location
        self._source = source
        self._window: FileWindow = source.spans
        self._names = names

    def find(self) -> FoundSpans:
        """Ask for the head of each file that a span may be; nothing is fetched."""
        with httpx.Client(timeout=TIMEOUT_SECONDS, follow_redirects=True) as client:
            if self._window.listing is not None:
                return self._find_listed(client, self._window.listing)
            return self._find_dated(client) if has_dates(self.location) else self._find_numbered(client)

    def read(self, span: Span, folder: Path) -> RawTable:
        """Fetch a span's files and read them as one table."""
        files = {url: folder / f"{place:06}" for place, url in enumerate(span.files)}
        tables = (
            read_file(self._source, download(url, file), url, self._names) for url, file in files.items()
        )
        return join_tables(tables, span.files[0] if len(files) == 1 else f"{self.location}, span {span.name}")

    def _find_listed(self, client: httpx.Client, listing: str) -> FoundSpans:
        with reached(listing):
            page = client.get(listing)
        require_success(page, listing)
        urls = {urljoin(listing, word) for word in _WORD.findall(page.text)}
        spans, _ = gather_spans(self.location, urls)
        chosen = self._window.choose(spans)
        if not chosen:
            raise self._describe_none(f"{len(spans)} spans are named at {listing}")
        found = []
        for span in chosen:
            heads = {url: self._look(client, url) for url in span.files}
            gone = tuple(url for url, content in heads.items() if content is None)
            if gone:
                raise InputError(
                    describe(
                        "A page lists what is not there",
                        expected=f"the files that {listing} names",
                        received=f"404 Not Found for {shorten(gone)}",
                        next_step="correct the page, or `source.spans.listing`",
                    )
                )
            found.append(FoundSpan(span, {url: content for url, content in heads.items() if content}))
        return FoundSpans(tuple(found), frozenset(span.name for span in spans), older=spans.index(chosen[0]))

    def _find_dated(self, client: httpx.Client) -> FoundSpans:
        since, until = self._window.since, self._window.until
        assert isinstance(since, date)
        tomorrow = datetime.now(UTC).date() + _AHEAD
        last = min(until, tomorrow) if isinstance(until, date) else tomorrow
        periods = tuple(
            replace(span, files=(address_of(self.location, span),))
            for span in periods_between(every_of(self.location), since, last)
        )
        is_one_there = False

        def look(span: Span) -> Mapping[str, str] | None:
            nonlocal is_one_there
            (url,) = span.files
            content = self._look(client, url, may_be_forbidden=not is_one_there)
            is_one_there = is_one_there or content is not None
            return None if content is None else {url: content}

        found = look_back(periods, self._window.newest, look)
        if not found.chosen:
            raise self._describe_none(f"none of {len(periods)} dates, {since} to {last}")
        return found

    def _find_numbered(self, client: httpx.Client) -> FoundSpans:
        since, until = self._window.since, self._window.until
        assert isinstance(since, int) and not isinstance(until, date)
        found = []
        for number in itertools.count(since) if until is None else range(since, until + 1):
            span = Span(str(number), number)
            url = address_of(self.location, span)
            content = self._look(client, url, may_be_forbidden=True)
            if content is not None:
                found.append(FoundSpan(replace(span, files=(url,)), {url: content}))
            elif until is None:
                break
        if not found:
            raise self._describe_none(f"none from {since} on")
        chosen = found[-self._window.newest :] if self._window.newest else found
        names = frozenset(one.span.name for one in found)
        return FoundSpans(tuple(chosen), names, older=len(found) - len(chosen))

    def _look(self, client: httpx.Client, url: str, *, may_be_forbidden: bool = False) -> str | None:
        """Return what stands for a file's content; `None` where it is not there."""
        with reached(url):
            answer = client.head(url)
            if answer.status_code in _NO_HEAD:
                with client.stream("GET", url) as answer:
                    pass
        if answer.status_code in _NOT_THERE or (may_be_forbidden and answer.status_code == _FORBIDDEN):
            return None
        require_success(answer, url)
        if "etag" in answer.headers:
            return f"ETag {answer.headers['etag']}"
        if "last-modified" in answer.headers:
            return " ".join(answer.headers.get(name, "") for name in ("last-modified", "content-length"))
        digest = hashlib.sha256()
        with reached(url), client.stream("GET", url) as answer:
            require_success(answer, url)
            for part in answer.iter_bytes():
                digest.update(part)
        return digest.hexdigest()

    def _describe_none(self, there: str) -> InputError:
        return InputError(
            describe(
                f"There is no span to read at {self.location}",
                expected="at least one file of that form within `source.spans`",
                received=there,
                next_step="correct `source.location` or `source.spans`",
            )
        )
