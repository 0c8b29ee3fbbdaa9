"""The dictionary's validation specification as a TFDV schema."""

from __future__ import annotations

import math

from tensorflow_metadata.proto.v0 import schema_pb2

from components.validate_data.images import MEASURES, name_of
from mulgil.contract import ColumnType
from mulgil.contract.specifications import ColumnStatisticsSpecification, ValidationSpecification

# A boolean goes in as 0 and 1, because TFDV takes no boolean Arrow column.
_TYPES = {
    ColumnType.FLOAT: schema_pb2.FLOAT,
    ColumnType.INTEGER: schema_pb2.INT,
    ColumnType.BOOLEAN: schema_pb2.INT,
    ColumnType.CATEGORY: schema_pb2.BYTES,
}

_INT64 = (-(2**63), 2**63 - 1)


def derive_schema(specification: ValidationSpecification) -> schema_pb2.Schema:
    """Translate a specification.

    A column that may be missing in some rows may be missing in all of them, so TFDV does not notice where
    such a column is not in the data at all; `structure` does. Limits on skew are for `divergence`.
    """
    features = []
    for column in specification.columns:
        if column.type is ColumnType.IMAGE:
            features += [_measure(column, measure) for measure in MEASURES]
        else:
            features.append(_feature(column))
    return schema_pb2.Schema(feature=features)


def _measure(column: ColumnStatisticsSpecification, measure: str) -> schema_pb2.Feature:
    """Describe what is measured of each image: a whole number, in every row that must have one."""
    feature = schema_pb2.Feature(
        name=name_of(column.name, measure),
        type=schema_pb2.INT,
        value_count=schema_pb2.ValueCount(min=1, max=1),
        int_domain=schema_pb2.IntDomain(min=1),
    )
    _require(feature, column)
    return feature


def _feature(column: ColumnStatisticsSpecification) -> schema_pb2.Feature:
    feature = schema_pb2.Feature(
        name=column.name,
        type=_TYPES[column.type],
        value_count=schema_pb2.ValueCount(min=1, max=1),
    )
    _require(feature, column)
    low, high = column.range
    match column.type:
        case ColumnType.FLOAT:
            # The bounds are float32 in this message, and TFDV rounds the data's extremes alike: a value on
            # a bound passes, and one beyond it by less than float32 tells apart passes too.
            feature.float_domain.CopyFrom(
                schema_pb2.FloatDomain(min=low, max=high, disallow_nan=True, disallow_inf=True)
            )
        case ColumnType.INTEGER:
            feature.int_domain.CopyFrom(
                schema_pb2.IntDomain(
                    min=None if low is None else max(math.ceil(low), _INT64[0]),
                    max=None if high is None else min(math.floor(high), _INT64[1]),
                )
            )
        case ColumnType.BOOLEAN:
            feature.bool_domain.CopyFrom(schema_pb2.BoolDomain())
        case ColumnType.CATEGORY:
            feature.string_domain.CopyFrom(schema_pb2.StringDomain(value=column.categories))
    return feature


def _require(feature: schema_pb2.Feature, column: ColumnStatisticsSpecification) -> None:
    if column.is_required:
        feature.presence.CopyFrom(schema_pb2.FeaturePresence(min_fraction=1.0, min_count=1))
