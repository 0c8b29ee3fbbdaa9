"""From a project's source to a split, typed dataset."""

from __future__ import annotations

import tempfile
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from components.ingest_data import PROJECT_SECTIONS
from components.ingest_data.dataset import RowStore
from components.ingest_data.quarantine import QUARANTINED_ROWS, Quarantine, commonest_reasons, quarantine_at
from components.ingest_data.rows import RowReader
from components.ingest_data.sources import describe_source, read_source
from components.ingest_data.splits import Places, assign_rows
from components.ingest_data.structure import check_structure
from components.ingest_data.table import RawTable
from mulgil.artifacts import (
    DATASET_MANIFEST,
    DatasetManifest,
    QuarantineSummary,
    staged_directory,
)
from mulgil.contract import ProjectFolder, load_project
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
        quarantine_path: Folder to write: the rows set aside, with the reason.

    Returns:
        The manifest, as written.

    Raises:
        InputError: The project, the source or its structure is wrong, or too few rows are right.
        TemporaryError: The source's server did not answer.
    """
    folder = load_project(project_path, PROJECT_SECTIONS)
    with staged_directory(dataset_path) as staged, tempfile.TemporaryDirectory(dir=staged) as scratch:
        store = RowStore(Path(scratch) / "rows.parquet", folder.dictionary)
        table = read_source(folder, source, Path(scratch))
        # It is there before anything can be refused for its rows: it is where the reasons are.
        with quarantine_at(quarantine_path) as quarantine, store.written():
            rows_read = _read_rows(table, folder, store, quarantine)
        first = store.find_first()
        places = _split(store, first, folder, quarantine, quarantine_path)
        fingerprint, missing = store.divide(staged, {name: first[part] for name, part in places.items()})
        manifest = DatasetManifest(
            fingerprint=fingerprint,
            dictionary_fingerprint=folder.dictionary.fingerprint,
            source=table.location,
            rows_read=rows_read,
            rows={name: len(part) for name, part in places.items()},
            rows_quarantined=quarantine.rows,
            rows_deduplicated=rows_read - quarantine.rows - len(first),
        )
        _check_sum(manifest)
        manifest.write(staged / DATASET_MANIFEST)
    _report(manifest, quarantine.summarise(), missing)
    return manifest


def _read_rows(table: RawTable, folder: ProjectFolder, store: RowStore, quarantine: Quarantine) -> int:
    """Read every row into the store or the quarantine, and return how many there are."""
    reader: RowReader | None = None
    rows_read = 0
    for batch in table.batches:
        if reader is None:
            check_structure(table, batch, folder.dictionary, describe_source(folder.project.source))
            reader = RowReader(
                table.header, table.read_cell, folder.dictionary, folder.project.split, datetime.now(UTC)
            )
        read = reader.read(batch)
        store.add(read.rows, read.identities, read.keys)
        quarantine.add(read.quarantined)
        rows_read += len(batch.numbers) + len(batch.misfits)
    return rows_read


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
