"""From an approved dataset to training rows and an online store that agree."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from feast import FeatureService, FeatureStore

from components.materialize_features import PROJECT_SECTIONS
from components.materialize_features.dataset import (
    StoredSplits,
    check_rows_are_distinct,
    open_splits,
    read_manifest,
    write_training_rows,
)
from components.materialize_features.offline import join_features, stored_columns, write_offline
from components.materialize_features.online import check_parity, count_compared, materialize, sample_latest
from components.materialize_features.staging import staged_store
from feature_repo.feature_store import apply_objects
from feature_repo.layout import StoreLayout
from feature_repo.online_places import find_place
from feature_repo.translation import translate
from mulgil.artifacts import (
    SPLITS,
    DatasetManifest,
    FeatureServiceReference,
    require_approval,
    staged_directory,
    write_text,
)
from mulgil.contract import DataDictionary, load_project
from mulgil.contract.specifications import FeatureSpecification, specify_derived, specify_features
from mulgil.home import home
from mulgil.online_rows import FORM


def materialize_features(
    *,
    project_path: Path,
    dataset_path: Path,
    validation_verdict_path: Path,
    training_rows_path: Path,
    feature_service_path: Path,
) -> FeatureServiceReference:
    """Put a dataset's features into the feature store and hand over what training reads from there.

    Args:
        project_path: The project folder.
        dataset_path: Directory of the dataset that `ingest_data` made.
        validation_verdict_path: Verdict of `validate_data` on this dataset.
        training_rows_path: Directory to write: entity, event timestamp, features and target of each split.
        feature_service_path: JSON file to write: the feature service and its online store.

    Returns:
        What was written to `feature_service_path`.

    Raises:
        GateRejectedError: The dataset is not approved.
        InputError: The dataset is missing, is not of the dictionary's types, or says two things of one entity
            at one time.
        PermanentError: Feast lost a row, or the online store answers something else than the offline store.
    """
    folder = load_project(project_path, PROJECT_SECTIONS)
    project, dictionary = folder.project.name, folder.dictionary
    manifest = read_manifest(dataset_path)
    require_approval(validation_verdict_path, gate="validate_data", subject=manifest.fingerprint)

    specification = specify_features(dictionary)
    splits = open_splits(dataset_path, dictionary)
    if not specification.features:
        return _pass_images_on(
            project, splits, manifest, specification, training_rows_path, feature_service_path
        )
    keys = splits.read([specification.entity, specification.event_timestamp])
    check_rows_are_distinct(keys, specification)
    times = pc.min_max(keys[specification.event_timestamp]).as_py()
    compared = splits.take(sample_latest(keys, count_compared(len(specification.features))))
    # So much less is in memory while rows are joined.
    del keys

    layout = StoreLayout(home() / "feature_store")
    offline_path = layout.offline(project, specification.version)
    objects = translate(project, specification, offline_path, specify_derived(dictionary))
    place = find_place(layout, project, specification.version, objects.view.name)
    with staged_directory(training_rows_path) as folder_of_rows, staged_store(layout, place) as store:
        # Before any value: whoever finds a dataset's values finds its name too.
        write_text(layout.dataset(project, specification.version), manifest.fingerprint)
        write_offline(offline_path, splits.batches(stored_columns(specification)))
        apply_objects(store, objects)
        joined = {
            name: _join(store, objects.service, splits, name, dictionary, specification) for name in SPLITS
        }
        rows = write_training_rows(folder_of_rows, joined, manifest)
        materialize(store, objects.view, times["min"], times["max"])
        entities = check_parity(store, objects.service, compared, dictionary)

    reference = FeatureServiceReference(
        name=objects.service.name,
        derived_name=objects.derived_service.name if objects.derived_service else None,
        project=store.project,
        store_version=specification.version,
        store_kind=place.kind,
        online_store=place.location,
        row_form=FORM,
        unknown_entity=folder.project.serving.unknown_entity,
        entity=specification.entity,
        features=tuple(feature.name for feature in specification.features),
    )
    reference.write(feature_service_path)
    print(f"feature service: {reference.name}, {len(reference.features)} features")
    print("training rows:   " + ", ".join(f"{name} {count}" for name, count in rows.items()))
    print(f"online store:    {place.location}; {entities} entities read back equal the offline store")
    return reference


def _join(
    store: FeatureStore,
    service: FeatureService,
    splits: StoredSplits,
    split: str,
    dictionary: DataDictionary,
    specification: FeatureSpecification,
) -> Iterator[pa.Table]:
    # Read when the split's turn comes.
    targets = [column.name for column in dictionary.targets]
    rows = splits.read([specification.entity, specification.event_timestamp, *targets], [split])
    yield from join_features(store, service, rows, dictionary, splits.schema)


def _pass_images_on(
    project: str,
    splits: StoredSplits,
    manifest: DatasetManifest,
    specification: FeatureSpecification,
    training_rows_path: Path,
    feature_service_path: Path,
) -> FeatureServiceReference:
    """Hand over rows whose only feature is an image: no store keeps them, and a request carries its own."""
    reference = FeatureServiceReference(
        name=project,
        project=project,
        store_version=specification.version,
        online_store="",
        entity=specification.entity,
        features=(),
    )
    tables = {split: splits.batches(splits=[split]) for split in SPLITS}
    with staged_directory(training_rows_path) as folder:
        rows = write_training_rows(folder, tables, manifest)
    reference.write(feature_service_path)
    print("feature service: none, an image is no feature of an online store")
    print("training rows:   " + ", ".join(f"{name} {count}" for name, count in rows.items()))
    return reference
