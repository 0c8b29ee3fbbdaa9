"""From the contract's feature specification to Feast's objects.

One version of the definitions is one entity, one source, one view and one service, and the four share one
name, `PROJECT_VERSION`. So a changed dictionary adds objects beside the old ones, which a model in service
still reads, and the name alone leads to the online values: Feast's SQLite store keeps them in the table
`mulgil_PROJECT_VERSION`. What is derived of the features when they are read has a view and a service of its
own, `PROJECT_VERSION_derived_VERSION`, since a changed expression changes nothing that is stored.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import timedelta
from pathlib import Path
from typing import Any

from feast import Entity, FeatureService, FeatureView, Field, FileSource, RequestSource, ValueType
from feast.data_format import ParquetFormat
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.transformation.pandas_transformation import PandasTransformation
from feast.types import Bool, FeastType, Float64, Int64, String, UnixTimestamp

from feature_repo.derived_view import write_source
from feature_repo.layout import definition_name
from mulgil.contract import ColumnType
from mulgil.contract.specifications import DerivedSpecification, FeatureSpecification

# Float64 and Int64, because Feast's 32-bit types would round what training saw.
FEAST_TYPES: dict[ColumnType, FeastType] = {
    ColumnType.FLOAT: Float64,
    ColumnType.INTEGER: Int64,
    ColumnType.BOOLEAN: Bool,
    ColumnType.CATEGORY: String,
    ColumnType.TEXT: String,
    ColumnType.TIMESTAMP: UnixTimestamp,
}

_ENTITY_TYPES = {ColumnType.INTEGER: ValueType.INT64, ColumnType.TEXT: ValueType.STRING}


@dataclass(frozen=True)
class FeastObjects:
    """One version of a project's definitions.

    Attributes:
        entity: What a row is about; its join key is the dictionary's entity column.
        source: The offline Parquet file.
        view: The features by entity and time, without a limit of age.
        service: What a model of this version reads: the whole view, in the model's order.
        derived_view: What is computed of them on demand; `None` where nothing is.
        derived_service: The view and that; `None` likewise.
    """

    entity: Entity
    source: FileSource
    view: FeatureView
    service: FeatureService
    derived_view: OnDemandFeatureView | None = None
    derived_service: FeatureService | None = None

    @property
    def every(self) -> list[Any]:
        """All of them that there are, in the order in which they need each other."""
        found = (getattr(self, field.name) for field in fields(self))
        return [one for one in found if one is not None]


def translate(
    project: str,
    specification: FeatureSpecification,
    offline_path: Path,
    derived: DerivedSpecification | None = None,
) -> FeastObjects:
    """Build the Feast objects of one version.

    Args:
        project: The project's name.
        specification: What the feature store keeps.
        offline_path: The Parquet file of its values. It need not exist yet.
        derived: What is computed of them. It has a name by its own version: of two models that share stored
            features each has its expressions.
    """
    name = definition_name(project, specification.version)
    tags = {"mulgil_project": project, "mulgil_version": specification.version}
    entity = Entity(
        name=name,
        join_keys=[specification.entity],
        value_type=_ENTITY_TYPES[specification.entity_type],
        description=f"What a row of {project} is about.",
        tags=tags,
    )
    source = FileSource(
        name=name,
        path=str(offline_path),
        file_format=ParquetFormat(),
        timestamp_field=specification.event_timestamp,
        description=f"The ingested rows of {project}.",
        tags=tags,
    )
    key = Field(name=specification.entity, dtype=FEAST_TYPES[specification.entity_type])
    features = [
        Field(name=feature.name, dtype=FEAST_TYPES[feature.type], description=feature.description)
        for feature in specification.features
    ]
    view = FeatureView(
        name=name,
        entities=[entity],
        # Feast infers nothing where the schema names every column, so `apply` needs no file.
        schema=[key, *features],
        # Zero is Feast's word for no limit: a measurement of 1995 is as good as it ever was.
        ttl=timedelta(0),
        source=source,
        description=f"The features of {project}.",
        tags=tags,
    )
    service = FeatureService(
        name=name, features=[view], description=f"What a model of {project} reads.", tags=tags
    )
    if derived is None or not derived.features:
        return FeastObjects(entity, source, view, service)
    on_demand = _translate_derived(f"{name}_derived_{derived.version}", derived, view, tags)
    with_derived = FeatureService(
        name=on_demand.name,
        features=[view, on_demand],
        description=f"What a model of {project} reads, with the columns that are derived of it.",
        tags=tags,
    )
    return FeastObjects(entity, source, view, service, on_demand, with_derived)


def _translate_derived(
    name: str, derived: DerivedSpecification, view: FeatureView, tags: dict[str, str]
) -> OnDemandFeatureView:
    expressions = {one.name: (one.expression, str(one.type)) for one in derived.features}
    source = write_source(expressions, derived.codes, derived.moments)
    namespace: dict[str, Any] = {}
    # As Feast does with the registry's text.
    exec(compile(source, name, "exec"), namespace)
    sources: list[Any] = [view]
    if derived.event_timestamp is not None:
        time = Field(name=derived.event_timestamp, dtype=UnixTimestamp, description="When.")
        sources.append(RequestSource(name=f"{name}_request", schema=[time]))
    return OnDemandFeatureView(
        name=name,
        sources=sources,
        # Without descriptions: Feast holds them against what it infers, which has none.
        schema=[Field(name=one.name, dtype=FEAST_TYPES[one.type]) for one in derived.features],
        feature_transformation=PandasTransformation(udf=namespace["derive"], udf_string=source),
        mode="pandas",
        description="Columns that are derived of stored ones, as training and the model server derive them.",
        tags=tags,
    )
