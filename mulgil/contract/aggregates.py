"""Aggregates over an entity's past: what was known of it before a row, within a window of time."""

from __future__ import annotations

import re
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

_UNITS = {"minute": "minutes", "hour": "hours", "day": "days", "week": "weeks"}
_WINDOW = re.compile(r"^([1-9][0-9]{0,5}) (minute|hour|day|week)s?$")


class AggregateFunction(StrEnum):
    """What becomes of the values in a window.

    `count` is 0 where there is none, all others are missing then; `std` is the deviation of a sample, and
    missing of one value; `last` is the latest value.
    """

    MEAN = "mean"
    SUM = "sum"
    COUNT = "count"
    MIN = "min"
    MAX = "max"
    LAST = "last"
    STD = "std"


def _window(text: str) -> str:
    if not _WINDOW.match(text):
        raise ValueError(
            f"a window is a number of minutes, hours, days or weeks, as in 7 days; received {text!r}"
        )
    return text


class Aggregate(BaseModel):
    """One number of an entity's past: of its rows that became true before a row, and were known then."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    function: AggregateFunction = Field(
        description="What becomes of the values: mean, sum, count, and so on."
    )
    of: str | None = Field(
        default=None, description="The feature whose values are taken; `count` without it counts rows."
    )
    over: Annotated[str, AfterValidator(_window)] = Field(
        description="How far back the window reaches, such as 7 days or 12 hours."
    )

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.of is None and self.function is not AggregateFunction.COUNT:
            raise ValueError(f"`of` names the feature whose {self.function} is taken; received nothing")
        return self

    @property
    def window(self) -> timedelta:
        """How far back it reaches."""
        found = _WINDOW.match(self.over)
        assert found is not None
        return timedelta(**{_UNITS[found[2]]: int(found[1])})
