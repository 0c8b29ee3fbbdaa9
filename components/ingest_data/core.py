"""From a project's source to a split, typed dataset."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

from components.ingest_data import PROJECT_SECTIONS
from components.ingest_data.dataset import RowStore
from components.ingest_data.looking_back import look_back, tell_cut_past
from components.ingest_data.quarantine import QUARANTINED_ROWS, Quarantine, commonest_reasons, quarantine_at
from components.ingest_data.reading import read_rows
from components.ingest_data.sources import describe_source, find_source, read_source
from components.ingest_data.spans import TakenSpans, summarise_spans, take_spans
from components.ingest_data.splits import Places, assign_rows
from mulgil.artifacts import (
    DATASET_MANIFEST,
    DatasetManifest,
    QuarantineSummary,
    SpanNews,
    staged_directory,
)
from mulgil.contract import ProjectFolder, load_project
from mulgil.contract.sources import is_in_spans, keeps_repeated
from mulgil.errors import InputError


def ingest_data(
    *, project_path: Path, source: str, dataset_path: Path, quarantine_path: Path
) -> DatasetManifest:
    """Read a project's source into a split, typed dataset, and set aside the rows that are wrong.

    The rows go through in batches, from the source to a file and from there to the splits, so that the memory
    does not grow with them but for some 20 bytes a row.

    Args:
        project_path: Folder with the project file and the data dictionary.
        source: A path or HTTP(S) URL that replaces the project's location; empty where nothing does.
        dataset_path: Folder to write: a Parquet file a split, and the manifest.
        quarantine_path: Folder to write: the rows set aside, with the reason; of a source in spans also which
            of them are new.

    Returns:
        The manifest, as written.

    Raises:
        InputError: The project, the source or its structure is wrong, or too few rows are right.
        TemporaryError: The source's server did not answer.
    """
    folder = load_project(project_path, PROJECT_SECTIONS)
    chosen = find_source(folder, source)
    taken: TakenSpans | None = None
    with staged_directory(dataset_path) as staged, tempfile.TemporaryDirectory(dir=staged) as scratch:
        store = RowStore(folder.dictionary)
        # It is there before anything can be refused for its rows: it is where the reasons are.
        if is_in_spans(chosen):
            location = describe_source(chosen)
            with quarantine_at(quarantine_path) as quarantine:
                taken = take_spans(folder, chosen, store, quarantine, Path(scratch))
            rows_read = taken.rows_read
        else:
            table = read_source(folder, chosen, Path(scratch))
            location = table.location
            with quarantine_at(quarantine_path) as quarantine, store.written(Path(scratch)):
                rows_read = read_rows(table, folder, store, quarantine)
        first = store.find_first(keeps_repeated=keeps_repeated(folder.project.source))
        places = _split(store, first, folder, quarantine, quarantine_path)
        past = look_back(store, first, folder.dictionary, Path(scratch))
        cut = tell_cut_past(store, folder.dictionary, taken.first_day) if taken and taken.older else None
        fingerprint, missing = store.divide(
            staged, {name: first[part] for name, part in places.items()}, past
        )
        manifest = DatasetManifest(
            fingerprint=fingerprint,
            dictionary_fingerprint=folder.dictionary.fingerprint,
            source=location,
            rows_read=rows_read,
            rows={name: len(part) for name, part in places.items()},
            rows_quarantined=quarantine.rows,
            rows_deduplicated=rows_read - quarantine.rows - len(first),
            spans=summarise_spans(taken.spans, first, places) if taken else (),
        )
        _check_sum(manifest)
        manifest.write(staged / DATASET_MANIFEST)
    _report(manifest, quarantine.summarise(), missing)
    if taken is not None:
        # First: what is remembered is told by no later ingestion.
        taken.news.write(quarantine_path / SpanNews.FILE)
        taken.remember()
        _report_spans(manifest, taken)
        if cut is not None:
            print(f"  warning: {cut}; {taken.older} older spans are not read: widen `source.spans`")
    return manifest


def _split(
    store: RowStore, first: Places, folder: ProjectFolder, quarantine: Quarantine, quarantine_path: Path
) -> dict[str, Places]:
    try:
        return assign_rows(store.split_keys_of(first), folder.dictionary.targets, folder.project.split)
    except InputError as exc:
        if not quarantine.rows:
            raise
        reasons = "\n".join(f"    {reason}" for reason in commonest_reasons(quarantine.summarise()))
        raise InputError(
            f"{exc}\n  {quarantine.rows} rows were quarantined, most often for:\n{reasons}\n"
            f"  All of them: {quarantine_path / QUARANTINED_ROWS}"
        ) from exc


def _check_sum(manifest: DatasetManifest) -> None:
    accounted = sum(manifest.rows.values()) + manifest.rows_quarantined + manifest.rows_deduplicated
    if manifest.rows_read != accounted:
        raise AssertionError(f"{manifest.rows_read} rows were read and {accounted} are accounted for")


def _report(manifest: DatasetManifest, quarantined: QuarantineSummary, missing: Counter[str]) -> None:
    print(f"read {manifest.rows_read} rows from {manifest.source}")
    print(", ".join(f"{name} {count}" for name, count in manifest.rows.items()), end="; ")
    print(f"quarantined {manifest.rows_quarantined}, repeated {manifest.rows_deduplicated}")
    for reason in commonest_reasons(quarantined):
        print(f"  quarantined {reason}")
    absent = [f"{name} {count}" for name, count in missing.items() if count]
    if absent:
        print("without a value: " + ", ".join(absent))


def _report_spans(manifest: DatasetManifest, taken: TakenSpans) -> None:
    read = sum(span.is_read for span in taken.spans)
    there, *facts = manifest.tell_spans(taken.news)
    print(f"{there}: read {read}, took over {len(taken.spans) - read}")
    for fact in facts:
        print(f"  {fact}")
    if taken.others:
        more = f" and {len(taken.others) - 1} more" if len(taken.others) > 1 else ""
        print(f"  of no span, and not read: {taken.others[0]}{more}")
