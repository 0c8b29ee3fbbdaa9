"""From which probability on a yes is called, by what mistakes cost or by what must hold."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from mulgil.contract.dictionary import Contract
from mulgil.contract.learning import Ratio

_CONSTRAINTS = ("least_recall", "least_precision", "greatest_false_positive_rate")


class Decision(Contract):
    """What the threshold is chosen by, on validation rows: both costs, or one constraint."""

    false_positive_cost: float | None = Field(
        default=None, gt=0, description="What a yes costs that is called wrongly."
    )
    false_negative_cost: float | None = Field(
        default=None, gt=0, description="What a no costs that is called wrongly."
    )
    unit: str = Field(default="", description="What costs are counted in, such as EUR.")
    least_recall: Ratio | None = Field(
        default=None, description="Share of the yeses that must be found; no more is called than that needs."
    )
    least_precision: Ratio | None = Field(
        default=None,
        description="Share of what is called a yes that must be one; as many are found as that leaves.",
    )
    greatest_false_positive_rate: Ratio | None = Field(
        default=None,
        description="Share of the noes that may be called a yes; as many are found as that allows.",
    )

    @model_validator(mode="after")
    def _is_one_rule(self) -> Self:
        costs = [name for name in ("false_positive_cost", "false_negative_cost") if getattr(self, name)]
        constraints = [name for name in _CONSTRAINTS if getattr(self, name) is not None]
        if not (len(costs) == 2 and not constraints) and not (not costs and len(constraints) == 1):
            raise ValueError(
                "a threshold is chosen by both costs, or by one of "
                f"{', '.join(_CONSTRAINTS)}; received {', '.join([*costs, *constraints]) or 'nothing'}"
            )
        return self
