"""What a training shows besides its model: at which capacity it overfits, and what more rows would bring."""

from __future__ import annotations

from pydantic import Field

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
