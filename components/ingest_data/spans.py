"""A source in spans: each is read once and kept, and what is kept makes the dataset."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from components.ingest_data.dataset import RowStore
from components.ingest_data.images import gather_pixels
from components.ingest_data.quarantine import Quarantine, quarantine_at
from components.ingest_data.reading import read_rows
from components.ingest_data.sources import names_of_columns
from components.ingest_data.span_files import ImageSpans, TableSpans
from components.ingest_data.span_queries import QuerySpans
from components.ingest_data.span_source import SpanSource
from components.ingest_data.span_store import Ledger, SpanPlace, SpanRecord, key_of, open_place
from components.ingest_data.span_web import WebSpans
from components.ingest_data.splits import Places
from mulgil.artifacts import SpanNews, SpanSummary, fingerprint_json
from mulgil.contract import ProjectFolder
from mulgil.contract.sources import (
    CsvSource,
    ImageFolderSource,
    JsonLinesSource,
    ParquetSource,
    Source,
    SqlSource,
)
from mulgil.contract.spans import Span, is_on_web

QUARANTINE = "quarantine"


@dataclass(frozen=True)
class TakenSpan:
    """A span whose rows are in the store.

    Attributes:
        name: Its date or number.
        record: What reading it gave.
        is_read: Whether it was read now, and not taken over as it was read before.
    """

    name: str
    record: SpanRecord
    is_read: bool

    @property
    def rows_stored(self) -> int:
        """Rows that are right."""
        return self.record.rows_read - self.record.rows_quarantined


@dataclass(frozen=True)
class TakenSpans:
    """All spans of a dataset.

    Attributes:
        spans: The oldest first.
        news: What became of them since the last ingestion.
        others: Files under the location that are of no span.
        ledger: What the next ingestion is to be told.
        place: Where it is kept.
        older: How many spans there are before these, which are not taken.
        first_day: The date of the first, where it has one.
    """

    spans: tuple[TakenSpan, ...]
    news: SpanNews
    others: tuple[str, ...]
    ledger: Ledger
    place: SpanPlace
    older: int
    first_day: date | None

    @property
    def rows_read(self) -> int:
        """Rows in all their files."""
        return sum(span.record.rows_read for span in self.spans)

    def remember(self) -> None:
        """Leave for the next ingestion what this one knew; to be called when the dataset stands."""
        self.place.write_ledger(self.ledger)


def take_spans(
    folder: ProjectFolder, source: Source, store: RowStore, quarantine: Quarantine, scratch: Path
) -> TakenSpans:
    """Put the rows of every span into a store, and those that are wrong into a quarantine.

    A span that was read before with this dictionary, and that holds the same, is not read again.

    Args:
        folder: The project.
        source: Where the rows are; it is in spans, and a location is resolved.
        store: Takes the rows.
        quarantine: Takes those that are wrong.
        scratch: Folder for what is fetched from elsewhere.

    Raises:
        InputError: There is no span, or one is not the dictionary's table.
        TemporaryError: A store did not answer.
    """
    spans = open_spans(folder, source)
    found = spans.find()
    place = open_place(folder, spans.location, scratch)
    before = place.read_ledger().contents
    contents = {one.span.name: fingerprint_json(dict(one.contents)) for one in found.chosen}
    taken = []
    rows = 0
    for one in found.chosen:
        key = key_of(folder, source.model_dump(mode="json"), one.span, one.contents)
        kept = place.find(key)
        is_read = kept is None
        if kept is None:
            kept = _read(place, key, spans, one.span, folder, scratch)
        record = SpanRecord.read(kept / SpanRecord.FILE)
        store.take_over(kept)
        quarantine.take_over(kept / QUARANTINE, rows)
        rows += record.rows_read
        taken.append(TakenSpan(one.span.name, record, is_read))
    outside = {name: content for name, content in before.items() if name in found.names}
    news = SpanNews(
        new=tuple(name for name in contents if name not in before),
        changed=tuple(name for name in contents if before.get(name, contents[name]) != contents[name]),
        vanished=tuple(name for name in before if name not in found.names),
    )
    return TakenSpans(
        tuple(taken),
        news,
        found.others,
        Ledger(contents=outside | contents),
        place,
        found.older,
        found.chosen[0].span.day,
    )


def summarise_spans(
    taken: Sequence[TakenSpan], first: Places, places: Mapping[str, Places]
) -> tuple[SpanSummary, ...]:
    """Account for the rows of each span.

    Args:
        taken: The spans, in the order of their rows.
        first: Places of the rows that repeat no other one, among all.
        places: Of the rows of each split, among `first`.
    """
    ends = np.cumsum([span.rows_stored for span in taken])
    kept = _count(first, ends)
    by_split = {split: _count(first[part], ends) for split, part in places.items()}
    return tuple(
        SpanSummary(
            name=span.name,
            rows_read=span.record.rows_read,
            rows={split: counts[number] for split, counts in by_split.items()},
            rows_quarantined=span.record.rows_quarantined,
            rows_deduplicated=span.rows_stored - kept[number],
        )
        for number, span in enumerate(taken)
    )


def open_spans(folder: ProjectFolder, source: Source) -> SpanSource:
    """Return what a source in spans is asked by.

    Args:
        folder: The project.
        source: It is in spans; a location is resolved.
    """
    match source:
        case SqlSource():
            return QuerySpans(source, folder.path, folder.dictionary)
        case ImageFolderSource():
            return ImageSpans(source)
        case CsvSource() | ParquetSource() | JsonLinesSource():
            of_files = WebSpans if is_on_web(source.location) else TableSpans
            return of_files(source, names_of_columns(folder.dictionary))
    raise AssertionError(f"{source.kind} has no spans")


def _count(rows: Places, ends: np.ndarray[tuple[int], np.dtype[np.int64]]) -> list[int]:
    """Count rows, by their sorted places, up to each end and beyond the one before."""
    return [int(count) for count in np.diff(np.searchsorted(rows, ends), prepend=0)]


def _read(
    place: SpanPlace, key: str, spans: SpanSource, span: Span, folder: ProjectFolder, scratch: Path
) -> Path:
    def fill(target: Path) -> None:
        with tempfile.TemporaryDirectory(dir=scratch) as fetched:
            table = gather_pixels(spans.read(span, Path(fetched)), folder.dictionary)
            store = RowStore(folder.dictionary)
            with quarantine_at(target / QUARANTINE) as quarantine, store.written(target):
                rows = read_rows(table, folder, store, quarantine, span)
        store.save(target)
        SpanRecord(
            rows_read=rows,
            rows_quarantined=quarantine.rows,
            due=quarantine.due,
        ).write(target / SpanRecord.FILE)

    kept = place.keep(key, fill)
    print(f"  read span {span.name}")
    return kept
