"""From the contract's feature specification to Feast's objects.

One version of the definitions is one entity, one source, one view and one service, and the four share one
name, `PROJECT_VERSION`. So a changed dictionary adds objects beside the old ones, which a model in service
still reads, and the name alone leads to the online values: Feast's SQLite store keeps them in the table
`mulgil_PROJECT_VERSION`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.data_format import ParquetFormat
from feast.types import Bool, FeastType, Float64, Int64, String, UnixTimestamp

from feature_repo.layout import definition_name
from mulgil.contract import ColumnType
from mulgil.contract.specifications import FeatureSpecification

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
    """

    entity: Entity
    source: FileSource
    view: FeatureView
    service: FeatureService


def translate(project: str, specification: FeatureSpecification, offline_path: Path) -> FeastObjects:
    """Build the Feast objects of one version.

    Args:
        project: The project's name.
        specification: What the feature store keeps.
        offline_path: The Parquet file of its values. It need not exist yet.
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
    fields = [
        Field(name=feature.name, dtype=FEAST_TYPES[feature.type], description=feature.description)
        for feature in specification.features
    ]
    view = FeatureView(
        name=name,
        entities=[entity],
        # Feast infers nothing where the schema names every column, so `apply` needs no file.
        schema=[key, *fields],
        # Zero is Feast's word for no limit: a measurement of 1995 is as good as it ever was.
        ttl=timedelta(0),
        source=source,
        description=f"The features of {project}.",
        tags=tags,
    )
    service = FeatureService(
        name=name, features=[view], description=f"What a model of {project} reads.", tags=tags
    )
    return FeastObjects(entity, source, view, service)
