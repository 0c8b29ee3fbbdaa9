"""The feature specification as Feast's objects."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from feast.types import Bool, Float64, Int64, String

from feature_repo.feature_store import CONFIGURATION, open_feature_store
from feature_repo.layout import StoreLayout
from feature_repo.translation import translate
from mulgil.contract import ColumnType, load_project
from mulgil.contract.specifications import Feature, FeatureSpecification, specify_features
from mulgil.home import SOURCE_ROOT

SPECIFICATION = FeatureSpecification(
    entity="patient_id",
    entity_type=ColumnType.INTEGER,
    event_timestamp="seen_at",
    features=(
        Feature("weight", ColumnType.FLOAT, "Body weight."),
        Feature("visits", ColumnType.INTEGER, "Visits before."),
        Feature("smoker", ColumnType.BOOLEAN, "Whether the patient smokes."),
        Feature("stage", ColumnType.CATEGORY, "Stage of the disease."),
    ),
)


def with_type(feature: str, to: ColumnType) -> FeatureSpecification:
    return replace(
        SPECIFICATION,
        features=tuple(replace(f, type=to) if f.name == feature else f for f in SPECIFICATION.features),
    )


def test_every_type_keeps_its_full_width_and_the_features_their_order_and_meaning() -> None:
    view = translate("some-project", SPECIFICATION, Path("features.parquet")).view

    assert [(field.name, field.dtype) for field in view.features] == [
        ("weight", Float64),
        ("visits", Int64),
        ("smoker", Bool),
        ("stage", String),
    ]
    assert view.features[0].description == "Body weight."
    assert [(field.name, field.dtype) for field in view.entity_columns] == [("patient_id", Int64)]


def test_a_text_entity_is_a_string_to_feast() -> None:
    objects = translate("p", replace(SPECIFICATION, entity_type=ColumnType.TEXT), Path("features.parquet"))

    assert objects.entity.value_type.name == "STRING"
    assert objects.entity.join_key == "patient_id"
    assert objects.view.entity_columns[0].dtype == String


def test_the_view_reads_the_offline_file_by_event_timestamp_without_a_limit_of_age() -> None:
    objects = translate("p", SPECIFICATION, Path("/somewhere/features.parquet"))

    assert objects.view.batch_source == objects.source
    assert objects.source.path == "/somewhere/features.parquet"
    assert objects.source.timestamp_field == "seen_at"
    assert objects.view.ttl == timedelta(0)


def test_the_service_reads_the_whole_view() -> None:
    objects = translate("p", SPECIFICATION, Path("features.parquet"))

    (projection,) = objects.service.feature_view_projections
    assert projection.name == objects.view.name
    assert [field.name for field in projection.features] == ["weight", "visits", "smoker", "stage"]


def test_the_four_objects_share_a_name_of_project_and_version_that_sqlite_takes_unquoted() -> None:
    objects = translate("some-project", SPECIFICATION, Path("features.parquet"))
    names = {objects.entity.name, objects.source.name, objects.view.name, objects.service.name}

    assert names == {f"some_project_{SPECIFICATION.version}"}
    assert objects.service.name.isidentifier()


@pytest.mark.parametrize(
    "changed",
    [
        with_type("visits", ColumnType.FLOAT),
        replace(SPECIFICATION, features=SPECIFICATION.features[:-1]),
        replace(SPECIFICATION, entity_type=ColumnType.TEXT),
        replace(SPECIFICATION, event_timestamp="known_at"),
    ],
    ids=["type", "feature", "entity", "timestamp"],
)
def test_a_change_in_what_is_stored_gives_another_name(changed: FeatureSpecification) -> None:
    before = translate("p", SPECIFICATION, Path("features.parquet"))

    assert translate("p", changed, Path("features.parquet")).service.name != before.service.name


def test_a_changed_description_keeps_the_name() -> None:
    reworded = replace(
        SPECIFICATION, features=tuple(replace(f, description="Other words.") for f in SPECIFICATION.features)
    )

    assert reworded.version == SPECIFICATION.version
    assert (
        translate("p", reworded, Path("features.parquet")).service.name
        == translate("p", SPECIFICATION, Path("features.parquet")).service.name
    )


def test_what_is_stored_of_a_project_without_aggregates_keeps_its_name() -> None:
    # Rows stand under it since the first release.
    assert SPECIFICATION.version == "ea46264fbc49"


@pytest.mark.parametrize("project", ["breast_cancer", "heart_disease"])
def test_feast_accepts_the_shipped_projects_before_any_data_is_there(project: str, tmp_path: Path) -> None:
    folder = load_project(SOURCE_ROOT / "projects" / project)
    specification = specify_features(folder.dictionary)
    objects = translate(folder.project.name, specification, tmp_path / "not_there.parquet")
    store = open_feature_store(tmp_path / "registry.db", tmp_path / "online.db")

    store.apply([objects.entity, objects.source, objects.view, objects.service])

    applied = store.get_feature_view(objects.view.name)
    assert [field.name for field in applied.features] == [f.name for f in specification.features]
    assert store.get_feature_service(objects.service.name) == objects.service


def test_the_configuration_for_use_by_hand_names_the_files_of_the_layout(tmp_path: Path) -> None:
    from feast.repo_config import load_repo_config

    repository = tmp_path / "feature_repo"
    configuration = load_repo_config(repository, CONFIGURATION)
    layout = StoreLayout(tmp_path / ".mulgil" / "feature_store")

    assert (repository / configuration.registry.path).resolve() == layout.registry
    by_hand = (repository / configuration.online_store.path).resolve()
    # Beside the projects' folders, where no version of any project can be.
    assert by_hand.parent == layout.online("p", "v").parent.parent.parent
