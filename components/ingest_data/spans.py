"""A source in spans: each is read once and kept, and what is kept makes the dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from components.ingest_data.dataset import RowStore
from components.ingest_data.images import gather_pixels
from components.ingest_data.joining import join_tables
from components.ingest_data.quarantine import Quarantine, quarantine_at
from components.ingest_data.reading import read_rows
from components.ingest_data.rows import NOT_IN_THE_FUTURE
from components.ingest_data.sources import names_of_columns, read_file
from components.ingest_data.span_files import FoundSpan, SpanFiles
from components.ingest_data.span_store import Ledger, SpanPlace, SpanRecord, key_of, open_place
from components.ingest_data.splits import Places
from components.ingest_data.table import RawTable
from mulgil.artifacts import SpanStatus, SpanSummary, fingerprint_json
from mulgil.contract import DataDictionary, ProjectFolder
from mulgil.contract.sources import FileSource

QUARANTINE = "quarantine"


@dataclass(frozen=True)
class TakenSpan:
    """A span whose rows are in the store.

    Attributes:
        name: Its date or number.
        status: How it stands to the last ingestion.
        record: What reading it gave.
        is_read: Whether it was read now, and not taken over as it was read before.
    """

    name: str
    status: SpanStatus
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
        vanished: Spans of the last ingestion that are there no longer.
        others: Files under the location that are of no span.
        ledger: What the next ingestion is to be told.
        place: Where it is kept.
        older: How many spans there are before these, which are not taken.
        first_day: The date of the first, where it has one.
    """

    spans: tuple[TakenSpan, ...]
    vanished: tuple[str, ...]
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
    folder: ProjectFolder, source: FileSource, store: RowStore, quarantine: Quarantine, scratch: Path
) -> TakenSpans:
    """Put the rows of every span into a store, and those that are wrong into a quarantine.

    A span that was read before with this dictionary, and whose files hold the same, is not read again.

    Args:
        folder: The project.
        source: Where the rows are; its location is resolved and has placeholders.
        store: Takes the rows.
        quarantine: Takes those that are wrong.
        scratch: Folder for what is fetched from elsewhere.

    Raises:
        InputError: There is no span, or one is not the dictionary's table.
        TemporaryError: A store did not answer.
    """
    files = SpanFiles(source.location)
    found = files.find(source.spans)
    place = open_place(folder, source.location, scratch)
    before = place.read_ledger().contents
    contents = {one.span.name: fingerprint_json(dict(one.contents)) for one in found.chosen}
    taken = []
    rows = 0
    for one in found.chosen:
        key = key_of(folder, source.model_dump(mode="json"), one.span, one.contents)
        kept = place.find(key)
        is_read = kept is None
        if kept is None:
            kept = _read(place, key, files, one, folder, source, scratch)
        record = SpanRecord.read(kept / SpanRecord.FILE)
        store.take_over(kept)
        quarantine.take_over(kept / QUARANTINE, rows)
        rows += record.rows_read
        status = _compare(before.get(one.span.name), contents[one.span.name])
        taken.append(TakenSpan(one.span.name, status, record, is_read))
    outside = {name: content for name, content in before.items() if name in found.names}
    vanished = tuple(name for name in before if name not in found.names)
    return TakenSpans(
        tuple(taken),
        vanished,
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
            status=span.status,
            rows_read=span.record.rows_read,
            rows={split: counts[number] for split, counts in by_split.items()},
            rows_quarantined=span.record.rows_quarantined,
            rows_deduplicated=span.rows_stored - kept[number],
        )
        for number, span in enumerate(taken)
    )


def join_files(
    files: Sequence[Path], source: FileSource, dictionary: DataDictionary, location: str
) -> RawTable:
    """Read some files of spans as one table.

    Args:
        files: On this machine.
        source: How they are written.
        dictionary: What their columns mean.
        location: What messages call all of them.
    """
    names = names_of_columns(dictionary)
    tables = (read_file(source, file, str(file), names) for file in files)
    return gather_pixels(join_tables(tables, location), dictionary)


def _count(rows: Places, ends: np.ndarray[tuple[int], np.dtype[np.int64]]) -> list[int]:
    """Count rows, by their sorted places, up to each end and beyond the one before."""
    return [int(count) for count in np.diff(np.searchsorted(rows, ends), prepend=0)]


def _compare(before: str | None, now: str) -> SpanStatus:
    if before is None:
        return "new"
    return "known" if before == now else "changed"


def _read(
    place: SpanPlace,
    key: str,
    files: SpanFiles,
    found: FoundSpan,
    folder: ProjectFolder,
    source: FileSource,
    scratch: Path,
) -> Path:
    def fill(target: Path) -> None:
        fetched = files.fetch(found.span, scratch / "fetched" / found.span.name)
        location = str(fetched[0]) if len(fetched) == 1 else f"{source.location}, span {found.span.name}"
        table = join_files(fetched, source, folder.dictionary, location)
        store = RowStore(folder.dictionary)
        with quarantine_at(target / QUARANTINE) as quarantine, store.written(target):
            rows = read_rows(table, folder, store, quarantine, found.span)
        store.save(target)
        SpanRecord(
            rows_read=rows,
            rows_quarantined=quarantine.rows,
            is_settled=not quarantine.expects(NOT_IN_THE_FUTURE),
        ).write(target / SpanRecord.FILE)
        for file in fetched:
            if scratch in file.parents:
                file.unlink()

    kept = place.keep(key, fill)
    print(f"  read span {found.span.name}")
    return kept
