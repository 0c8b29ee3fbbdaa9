"""Where the truth about predictions comes from, once it is known."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from mulgil.contract.dictionary import Contract
from mulgil.contract.learning import Ratio

Column = Annotated[str, Field(min_length=1)]


class LabelKind(StrEnum):
    """What a label says."""

    CLASS = "class"
    NUMBER = "number"


class Labels(Contract):
    """Where labels come: rows that name a prediction, or an entity and a time, and say what was true."""

    path: str = Field(
        description="A file or folder of Parquet, CSV or JSON lines: absolute, or a URL such as s3://…. More "
        "may come at any time."
    )
    label: Column = Field(description="Column that says what was true.")
    kind: LabelKind = Field(
        default=LabelKind.CLASS,
        description="A class is called right or wrong; by a number predictions are judged by their squared "
        "error, or by the pinball loss of a quantile.",
    )
    quantile: Ratio | None = Field(
        default=None,
        description="Of numbers: whose pinball loss judges; that of `training` if not given, and without one "
        "there the squared error does.",
    )
    prediction_id: Column | None = Field(
        default=None, description="Column with the id that the client was told (X-Request-Id)."
    )
    instance: Column | None = Field(
        default=None, description="Column with the row's place in its request, from 0, where it had several."
    )
    entity: Column | None = Field(
        default=None, description="Column with the entity's key, in place of a prediction's id."
    )
    time: Column | None = Field(
        default=None, description="Column with the time of the outcome; it judges the prediction before."
    )
    within_hours: float = Field(
        default=24.0,
        gt=0,
        description="A prediction that is older when the outcome comes is not judged by it.",
    )
    threshold: float = Field(
        default=0.5, gt=0, lt=1, description="A probability that reaches it is called yes."
    )
    predictions_path: Annotated[str, Field(pattern="^/")] | None = Field(
        default=None, description="Folder of the prediction log; the serving plane's own without it."
    )

    @field_validator("path")
    @classmethod
    def _is_found_from_anywhere(cls, path: str) -> str:
        # A project is copied before it runs; labels come later, and where they always come.
        if not path.startswith("/") and not re.match(r"^[a-z0-9]+://", path):
            raise ValueError(f"expected an absolute path or a URL; received {path}")
        return path

    @model_validator(mode="after")
    def _has_a_quantile_of_numbers(self) -> Self:
        if self.quantile is not None and self.kind is not LabelKind.NUMBER:
            raise ValueError(f"`quantile` goes with kind=number; received kind={self.kind}")
        return self

    @model_validator(mode="after")
    def _names_predictions_one_way(self) -> Self:
        by_id, by_entity = self.prediction_id is not None, self.entity is not None
        if by_id == by_entity or by_entity != (self.time is not None) or (self.instance and not by_id):
            raise ValueError(
                "expected either prediction_id (and instance, where requests have several rows), or entity "
                f"and time; received prediction_id={self.prediction_id} instance={self.instance} "
                f"entity={self.entity} time={self.time}"
            )
        return self
