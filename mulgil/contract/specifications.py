"""What each stage needs to know of the contract, in no library's terms.

The part that owns TFDV, Feast or Keras translates these into its library's objects. Each is a plain frozen
dataclass, derived from the dictionary alone.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace

from mulgil.contract.dictionary import (
    Association,
    Column,
    ColumnType,
    DataDictionary,
    ImageForm,
    MissingPolicy,
    OutlierPolicy,
    Scaling,
)


@dataclass(frozen=True)
class ColumnStatisticsSpecification:
    """What validation holds one column's values against.

    Attributes:
        name: The column.
        type: What it holds.
        is_required: Whether every row must have a value.
        range: Least and greatest valid value; `None` is open.
        categories: Valid codes; empty where the type has none.
        expects: Declared direction of association with the target.
        skew: Greatest Jensen–Shannon divergence between training and serving.
        drift: Greatest Jensen–Shannon divergence of a newest span from those before.
    """

    name: str
    type: ColumnType
    is_required: bool
    range: tuple[float | None, float | None]
    categories: tuple[str, ...]
    expects: Association | None
    skew: float | None
    drift: float | None


@dataclass(frozen=True)
class ValidationSpecification:
    """What a dataset must look like.

    Attributes:
        columns: Every column of the ingested table but the entity and the dates and times.
    """

    columns: tuple[ColumnStatisticsSpecification, ...]


@dataclass(frozen=True)
class Feature:
    """One feature of a feature view.

    Attributes:
        name: The column.
        type: What it holds.
        description: What it means.
        aggregate: What of an entity's past it is; `None` where it is no aggregate.
    """

    name: str
    type: ColumnType
    description: str
    aggregate: str | None = None


@dataclass(frozen=True)
class FeatureSpecification:
    """What the feature store keeps.

    Attributes:
        entity: The entity's column.
        entity_type: Its type, integer or text.
        event_timestamp: The column that says when a row became true.
        features: In the model's order; an image is none of them, and what is derived is computed of them.
    """

    entity: str
    entity_type: ColumnType
    event_timestamp: str
    features: tuple[Feature, ...]

    @property
    def version(self) -> str:
        """Hash of all that changes what the online store holds; descriptions do not."""
        content = asdict(self)
        for feature in content["features"]:
            del feature["description"]
            # What is stored of a project without aggregates keeps its name.
            if feature["aggregate"] is None:
                del feature["aggregate"]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


# What a number can be filled with that is fitted to rows.
STATISTICS = frozenset({MissingPolicy.MEAN, MissingPolicy.MEDIAN, MissingPolicy.MOST_FREQUENT})


@dataclass(frozen=True)
class DerivedFeature:
    """One feature that is computed of others when it is read."""

    name: str
    type: ColumnType
    description: str
    expression: str


@dataclass(frozen=True)
class DerivedSpecification:
    """What is computed of the features that are stored.

    Attributes:
        features: In dictionary order; there may be none.
        codes: Which of the columns that they read are categories.
        moments: Which are dates and times.
        event_timestamp: The event's time, where one of them reads it: no feature has it, a request brings it.
    """

    features: tuple[DerivedFeature, ...]
    codes: tuple[str, ...]
    moments: tuple[str, ...]
    event_timestamp: str | None

    @property
    def version(self) -> str:
        """Hash of all that changes what is computed; descriptions do not."""
        content = asdict(self)
        for feature in content["features"]:
            del feature["description"]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]


@dataclass(frozen=True)
class PreprocessingColumn:
    """How one raw column becomes numbers; what depends on data is fitted on the training rows.

    Attributes:
        name: The column.
        is_categorical: One-hot by `categories`, or else one number, or an image.
        missing: The policy.
        constant: The filling of `missing: constant`.
        categories: Valid codes, in dictionary order.
        scaling: How numbers are brought to a like size.
        outliers: What becomes of a number far from the others.
        derived: The expression that gives it; `None` where it is an input.
        image: What an image is brought to.
    """

    name: str
    is_categorical: bool
    missing: MissingPolicy
    constant: float | str | None
    categories: tuple[str, ...]
    scaling: Scaling = Scaling.STANDARD
    outliers: OutlierPolicy = OutlierPolicy.KEEP
    derived: str | None = None
    image: ImageForm | None = None


@dataclass(frozen=True)
class PreprocessingSpecification:
    """How raw feature columns become the model's numeric input.

    Attributes:
        columns: The features.
        moments: The dates and times that derived ones of them read.
    """

    columns: tuple[PreprocessingColumn, ...]
    moments: tuple[str, ...] = ()

    def adjusted(self, imputation: str | None, scaling: str | None) -> PreprocessingSpecification:
        """Return this with other fillings and sizes of numbers, of those that are filled or scaled by rows.

        Args:
            imputation: What fills a number in place of a statistic; `None` leaves each its own.
            scaling: How a number is scaled that is scaled at all; `None` leaves each its own.
        """

        def adjust(column: PreprocessingColumn) -> PreprocessingColumn:
            if column.is_categorical or column.image is not None:
                return column
            if imputation is not None and column.missing in STATISTICS:
                column = replace(column, missing=MissingPolicy(imputation))
            if scaling is not None and column.scaling is not Scaling.NONE:
                column = replace(column, scaling=Scaling(scaling))
            return column

        return replace(self, columns=tuple(adjust(column) for column in self.columns))


def specify_validation(dictionary: DataDictionary) -> ValidationSpecification:
    """Derive what TFDV's schema says."""
    return ValidationSpecification(
        columns=tuple(
            _statistics(column) for column in dictionary.kept if column.name not in dictionary.keys
        ),
    )


def specify_features(dictionary: DataDictionary) -> FeatureSpecification:
    """Derive what the feature store's objects say."""
    return FeatureSpecification(
        entity=dictionary.entity.name,
        entity_type=dictionary.entity.type,
        event_timestamp=dictionary.event_timestamp.name,
        features=tuple(
            Feature(c.name, c.type, c.description, _tell_past(c, dictionary)) for c in dictionary.stored
        ),
    )


def specify_derived(dictionary: DataDictionary) -> DerivedSpecification:
    """Derive what the feature store computes of what it keeps."""
    features = tuple(
        DerivedFeature(column.name, column.type, column.description, column.derived)
        for column in dictionary.features
        if column.derived is not None
    )
    time = dictionary.event_timestamp.name
    return DerivedSpecification(
        features=features,
        codes=tuple(c.name for c in dictionary.inputs if c.type is ColumnType.CATEGORY),
        moments=dictionary.moments,
        event_timestamp=time if time in dictionary.moments else None,
    )


def specify_preprocessing(dictionary: DataDictionary) -> PreprocessingSpecification:
    """Derive how columns are encoded and filled."""
    return PreprocessingSpecification(
        tuple(
            PreprocessingColumn(
                name=column.name,
                is_categorical=column.type is ColumnType.CATEGORY,
                missing=column.missing,
                constant=column.fill_constant if column.missing is MissingPolicy.CONSTANT else None,
                categories=tuple(column.categories or ()),
                scaling=column.scaling,
                outliers=column.outliers,
                derived=column.derived,
                image=column.image,
            )
            for column in dictionary.features
        ),
        moments=dictionary.moments,
    )


def _tell_past(column: Column, dictionary: DataDictionary) -> str | None:
    """Say all that decides an aggregate's numbers; a window of 7 days is one of a week."""
    if column.aggregate is None:
        return None
    taken = f"{column.aggregate.function} of {column.aggregate.of} over {column.aggregate.window}"
    created = dictionary.created_timestamp
    return taken if created is None else f"{taken}, known at {created.name}"


def _statistics(column: Column) -> ColumnStatisticsSpecification:
    return ColumnStatisticsSpecification(
        name=column.name,
        type=column.type,
        is_required=column.missing is MissingPolicy.REJECT,
        range=column.range or (None, None),
        categories=tuple(column.categories or ()),
        expects=column.expects,
        skew=column.skew,
        drift=column.drift,
    )
