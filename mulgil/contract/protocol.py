"""What a training shows besides its model: at which capacity it overfits, and what more rows would bring."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from mulgil.contract.dictionary import Contract
from mulgil.contract.tuning import Setting


class CapacityLadder(Contract):
    """Models without any penalty, the simplest first, until one of them overfits."""

    steps: tuple[dict[str, Setting], ...] = Field(
        default=(),
        description="The settings of each, the simplest first: keys of `training`, or hyperparameters of its "
        "family or builder. If not given, the family's own.",
    )
    time_budget_seconds: float = Field(
        default=120,
        gt=0,
        description="After which no other is fitted; the first is fitted whatever the time.",
    )


class LearningCurve(Contract):
    """The score by the number of rows that are learned from."""

    shares: Annotated[tuple[Annotated[float, Field(gt=0, le=1)], ...], Field(min_length=2)] = Field(
        default=(0.0625, 0.125, 0.25, 0.5, 1.0),
        description="Of the rows that a fold fits on; each is a part of the next.",
    )
    time_budget_seconds: float = Field(
        default=300, gt=0, description="After which no other fold is begun; the first goes to its end."
    )

    @field_validator("shares")
    @classmethod
    def _differ(cls, shares: tuple[float, ...]) -> tuple[float, ...]:
        if len(set(shares)) < len(shares):
            raise ValueError(f"expected each share once; received {list(shares)}")
        return shares
