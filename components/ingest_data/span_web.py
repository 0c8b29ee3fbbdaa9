"""Spans that are files of a web server: those that a page lists, or those whose names can be told."""

from __future__ import annotations

import contextlib
import hashlib
import html
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path, PurePosixPath
from urllib.parse import urljoin, urlsplit

import httpx

from components.ingest_data.foreign import BYTES_JUDGED, is_page
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
# A server that answers to whatever is asked for would be asked for ever, and so many numbers as a
# date has, taken for one, for days. Chosen by eye.
_MOST_NUMBERS = 10_000
_MOST_ASKED = 1_000_000


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
        spans, others = gather_spans(self.location, _addresses_in(page, listing, self.location))
        # Of a page's words most name no file at all.
        ending = PurePosixPath(urlsplit(self.location).path).suffix
        others = tuple(url for url in others if ending and urlsplit(url).path.endswith(ending))
        chosen = self._window.choose(spans)
        if not chosen:
            there = f"{len(spans)} spans are named at {listing}"
            raise self._describe_none(
                there + (f"; files of another form: {shorten(others)}" if others else "")
            )
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
        names = frozenset(span.name for span in spans)
        return FoundSpans(tuple(found), names, others, older=spans.index(chosen[0]))

    def _find_dated(self, client: httpx.Client) -> FoundSpans:
        since, until = self._window.since, self._window.until
        assert isinstance(since, date)
        tomorrow = datetime.now(UTC).date() + _AHEAD
        last = min(until, tomorrow) if isinstance(until, date) else tomorrow
        periods = tuple(periods_between(every_of(self.location), since, last))
        return self._find_named(client, periods, f"none of {len(periods)} dates, {since} to {last}")

    def _find_named(self, client: httpx.Client, spans: Sequence[Span], none: str) -> FoundSpans:
        """Ask for spans, the newest first; what is forbidden is not there yet, or a gap once one is there."""
        absent: Counter[str] = Counter()
        is_one_there = False

        def look(span: Span) -> Mapping[str, str] | None:
            nonlocal is_one_there
            (url,) = span.files
            content = self._look_for(client, url, absent, may_be_forbidden=not is_one_there)
            is_one_there = is_one_there or content is not None
            return None if content is None else {url: content}

        named = [replace(span, files=(address_of(self.location, span),)) for span in spans]
        found = look_back(named, self._window.newest, look)
        if not found.chosen:
            raise self._describe_none(none, absent)
        return found

    def _find_numbered(self, client: httpx.Client) -> FoundSpans:
        since, until = self._window.since, self._window.until
        assert isinstance(since, int) and not isinstance(until, date)
        if until is not None:
            numbers = range(until, since - 1, -1)
            if len(numbers) > _MOST_ASKED:
                raise InputError(
                    describe(
                        f"There are too many numbers to ask for at {self.location}",
                        expected=f"at most {_MOST_ASKED:,} from `since` to `until`",
                        received=f"{len(numbers):,}, from {since} to {until}",
                        next_step="bring them closer together in `source.spans`",
                    )
                )
            spans = [Span(str(number), number) for number in numbers]
            return self._find_named(client, spans, f"none of {len(spans)} numbers, {since} to {until}")
        absent: Counter[str] = Counter()
        found = []
        for number in range(since, since + _MOST_NUMBERS):
            span = Span(str(number), number)
            url = address_of(self.location, span)
            content = self._look_for(client, url, absent, may_be_forbidden=True)
            if content is None:
                break
            found.append(FoundSpan(replace(span, files=(url,)), {url: content}))
        else:
            raise InputError(
                describe(
                    f"The numbers of spans do not end at {self.location}",
                    expected=f"after at most {_MOST_NUMBERS:,} of them a number that is not there",
                    received=f"an answer for each from {since} to {since + _MOST_NUMBERS - 1}",
                    next_step="say which is the last: `until` in `source.spans`",
                )
            )
        if not found:
            raise self._describe_none(f"none from {since} on", absent)
        chosen = found[-self._window.newest :] if self._window.newest else found
        names = frozenset(one.span.name for one in found)
        return FoundSpans(tuple(chosen), names, older=len(found) - len(chosen))

    def _look_for(
        self, client: httpx.Client, url: str, absent: Counter[str], *, may_be_forbidden: bool
    ) -> str | None:
        """Look at a file that nobody has named; why it is not there is counted."""
        answer = self._ask(client, url)
        if answer.status_code in _NOT_THERE or (may_be_forbidden and answer.status_code == _FORBIDDEN):
            absent[f"{answer.status_code} {answer.reason_phrase}".strip()] += 1
            return None
        if answer.is_success and "html" in answer.headers.get("content-type", "") and _is_page(client, url):
            absent["a page of a website"] += 1
            return None
        return self._content_of(client, url, answer)

    def _look(self, client: httpx.Client, url: str) -> str | None:
        """Return what stands for a file's content; `None` where it is not there."""
        answer = self._ask(client, url)
        return None if answer.status_code in _NOT_THERE else self._content_of(client, url, answer)

    def _ask(self, client: httpx.Client, url: str) -> httpx.Response:
        with reached(url):
            answer = client.head(url)
            if answer.status_code in _NO_HEAD:
                with client.stream("GET", url) as answer:
                    pass
        return answer

    def _content_of(self, client: httpx.Client, url: str, answer: httpx.Response) -> str:
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

    def _describe_none(self, there: str, absent: Mapping[str, int] | None = None) -> InputError:
        answers = ", ".join(f"{answer} for {count}" for answer, count in (absent or {}).items())
        is_forbidden = any(answer.startswith(str(_FORBIDDEN)) for answer in absent or {})
        return InputError(
            describe(
                f"There is no span to read at {self.location}",
                expected="at least one file of that form within `source.spans`",
                received=there + (f"; the server answered {answers}" if answers else ""),
                next_step="correct `source.location` or `source.spans`"
                + (", or ask for access to what is forbidden" if is_forbidden else ""),
            )
        )


def _addresses_in(page: httpx.Response, listing: str, location: str) -> set[str]:
    """Return the words of a page or a text as addresses."""
    is_marked_up = re.search("html|xml", page.headers.get("content-type", "")) is not None
    text = html.unescape(page.text) if is_marked_up else page.text
    # A text may say more of each file, as `a.csv,12`.
    signs = "".join(sign for sign in ",;" if sign not in location)
    # As it was written, where it still holds: a port that goes without saying would be left out.
    base = str(page.url) if page.history else listing
    found = set()
    for word in re.findall(rf"[^\s\"'<>{signs}]+", text):
        # Not each word is an address: of `//[^a]`, as programs in a page have it, none can be made.
        with contextlib.suppress(ValueError):
            found.add(urljoin(base, word))
    return found


def _is_page(client: httpx.Client, url: str) -> bool:
    """Whether a page stands at an address, and no file that is only called one."""
    with reached(url), client.stream("GET", url) as answer:
        return is_page(next(answer.iter_bytes(BYTES_JUDGED), b""))
