"""From a project's source to a split, typed dataset."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from components.ingest_data import PROJECT_SECTIONS
from components.ingest_data.dataset import Columns, fingerprint_rows, write_dataset
from components.ingest_data.quarantine import QUARANTINED_ROWS, commonest_reasons, write_quarantine
from components.ingest_data.rows import ReadRows, read_rows
from components.ingest_data.sources import describe_source, read_source
from components.ingest_data.splits import split_rows
from components.ingest_data.strata import find_strata
from components.ingest_data.structure import check_structure
from mulgil.artifacts import DatasetManifest
from mulgil.contract import ProjectFolder, load_project
from mulgil.errors import InputError


def ingest_data(
    *, project_path: Path, source: str, dataset_path: Path, quarantine_path: Path
) -> DatasetManifest:
    """Read a project's source into a split, typed dataset, and set aside the rows that are wrong.

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
    table = read_source(folder, source)
    check_structure(table, folder.dictionary, describe_source(folder.project.source))
    rows = read_rows(table, folder.dictionary, datetime.now(UTC))
    # Before anything can be refused: it is where the reasons are.
    write_quarantine(quarantine_path, rows.quarantined)
    splits = _split(rows, folder, quarantine_path)
    manifest = DatasetManifest(
        fingerprint=fingerprint_rows(splits, folder.dictionary),
        dictionary_fingerprint=folder.dictionary.fingerprint,
        source=table.location,
        rows_read=len(table.rows),
        rows={name: len(columns[folder.dictionary.entity.name]) for name, columns in splits.items()},
        rows_quarantined=len(rows.quarantined),
        rows_deduplicated=rows.repeated,
    )
    _check_sum(manifest)
    write_dataset(dataset_path, splits, folder.dictionary, manifest)
    _report(manifest, rows)
    return manifest


def _split(rows: ReadRows, folder: ProjectFolder, quarantine_path: Path) -> dict[str, Columns]:
    targets = folder.dictionary.targets
    split = folder.project.split
    try:
        strata = find_strata(targets, [rows.columns[target.name] for target in targets], split)
        places = split_rows(strata.of_rows, split, are_classes=strata.are_classes)
    except InputError as exc:
        if not rows.quarantined:
            raise
        reasons = "\n".join(f"    {reason}" for reason in commonest_reasons(rows.quarantined))
        raise InputError(
            f"{exc}\n  {len(rows.quarantined)} rows were quarantined, most often for:\n{reasons}\n"
            f"  All of them: {quarantine_path / QUARANTINED_ROWS}"
        ) from exc
    return {
        name: {column: [values[i] for i in part] for column, values in rows.columns.items()}
        for name, part in places.items()
    }


def _check_sum(manifest: DatasetManifest) -> None:
    accounted = sum(manifest.rows.values()) + manifest.rows_quarantined + manifest.rows_deduplicated
    if manifest.rows_read != accounted:
        raise AssertionError(f"{manifest.rows_read} rows were read and {accounted} are accounted for")


def _report(manifest: DatasetManifest, rows: ReadRows) -> None:
    print(f"read {manifest.rows_read} rows from {manifest.source}")
    print(", ".join(f"{name} {count}" for name, count in manifest.rows.items()), end="; ")
    print(f"quarantined {manifest.rows_quarantined}, repeated {manifest.rows_deduplicated}")
    for reason in commonest_reasons(rows.quarantined):
        print(f"  quarantined {reason}")
    missing = {name: values.count(None) for name, values in rows.columns.items() if None in values}
    if missing:
        print("without a value: " + ", ".join(f"{name} {count}" for name, count in missing.items()))
