"""The rollout policy: how a new version takes over the traffic, and what sends it back."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from mulgil.contract.dictionary import Contract
from mulgil.contract.labels import Labels

Share = Annotated[float, Field(gt=0, lt=1)]
Percent = Annotated[int, Field(ge=1, le=99)]


class RolloutStrategy(StrEnum):
    """When a new version is tried on a part of the traffic first."""

    AUTOMATIC = "automatic"
    CANARY = "canary"
    IMMEDIATE = "immediate"


class RolloutMetric(StrEnum):
    """What a canary is compared by."""

    ERROR_RATE = "error_rate"
    LATENCY = "latency"
    PREDICTIONS = "predictions"
    ACCURACY = "accuracy"


class DeadlineOutcome(StrEnum):
    """What becomes of a rollout that is undecided when its time is over."""

    ROLL_BACK = "roll_back"
    PAUSE = "pause"


def _require_order(low_name: str, low: float, high_name: str, high: float) -> None:
    if low >= high:
        raise ValueError(
            f"what is tolerated is less than the limit; received {low_name}={low} {high_name}={high}"
        )


class RateLimits(Contract):
    """How many more requests may have an event than the stable version's have."""

    tolerated_increase: float = Field(
        ge=0, lt=1, description="Up to so much more is no reason to roll back; 0.001 is a tenth of a point."
    )
    limit_increase: Share = Field(description="So much more is found with the policy's power.")

    @model_validator(mode="after")
    def _are_apart(self) -> Self:
        _require_order("tolerated_increase", self.tolerated_increase, "limit_increase", self.limit_increase)
        return self


class LatencyLimits(Contract):
    """How many times as slow the canary may be at the stable version's quantiles."""

    quantiles: tuple[Share, ...] = Field(
        default=(0.5, 0.95), min_length=1, description="Which are watched, such as 0.95."
    )
    tolerated_ratio: float = Field(default=1.05, ge=1, description="Up to here is no reason to roll back.")
    limit_ratio: float = Field(default=1.2, gt=1, description="So slow is found with the policy's power.")

    @field_validator("quantiles")
    @classmethod
    def _ascend(cls, quantiles: tuple[float, ...]) -> tuple[float, ...]:
        if list(quantiles) != sorted(set(quantiles)):
            raise ValueError(f"expected each quantile once, ascending; received {list(quantiles)}")
        return quantiles

    @model_validator(mode="after")
    def _are_apart(self) -> Self:
        _require_order("tolerated_ratio", self.tolerated_ratio, "limit_ratio", self.limit_ratio)
        return self


class PredictionLimits(Contract):
    """How far the canary's predictions may be from those that the replay predicted."""

    tolerated_distance: float = Field(
        default=0.02,
        ge=0,
        lt=1,
        description="Greatest difference of the shares of predictions above any score that is no reason.",
    )
    limit_distance: Share = Field(default=0.1, description="So much is found with the policy's power.")

    @model_validator(mode="after")
    def _are_apart(self) -> Self:
        _require_order("tolerated_distance", self.tolerated_distance, "limit_distance", self.limit_distance)
        return self


class Replay(Contract):
    """The same requests through both models, before the first percent."""

    requests: int = Field(default=2000, ge=1, description="At most; the newest logged ones, or test rows.")
    greatest_failure_rate: float = Field(
        default=0.01, ge=0, lt=1, description="More of them failing in the candidate alone ends the rollout."
    )
    is_required: bool = Field(
        default=False, description="Whether nothing to replay is a reason not to start."
    )


class Shadow(Contract):
    """Copies of live requests to the candidate, whose answers nobody sees."""

    requests: int = Field(default=100, ge=1, description="Copies that must have been answered.")
    is_required: bool = Field(
        default=False, description="Whether a platform that cannot mirror is a reason not to start."
    )


class Rollout(Contract):
    """How a new version takes over the traffic, and what sends it back."""

    strategy: RolloutStrategy = Field(
        default=RolloutStrategy.AUTOMATIC,
        description="Automatic is a canary where the version before has served enough requests to compare "
        "with, and all at once where it has not.",
    )
    steps: tuple[Percent, ...] = Field(
        default=(5, 25, 50), min_length=1, description="The canary's percent, ascending; then it is promoted."
    )
    minimum_requests: int = Field(default=50, ge=1, description="Of the canary in each step.")
    window_seconds: float = Field(default=30.0, ge=1, description="From one look to the next.")
    false_rollback_level: Share = Field(
        default=0.05, description="A canary that is no worse is rolled back with at most this probability."
    )
    power: Share = Field(
        default=0.9, description="A canary that is worse by a limit is promoted with at most the rest to 1."
    )
    error_rate: RateLimits = Field(
        default=RateLimits(tolerated_increase=0.001, limit_increase=0.01), description="Failed requests."
    )
    latency: LatencyLimits = Field(default=LatencyLimits(), description="How long answers take.")
    predictions: PredictionLimits = Field(
        default=PredictionLimits(), description="What is predicted, against what the replay predicted."
    )
    accuracy: RateLimits = Field(
        default=RateLimits(tolerated_increase=0.01, limit_increase=0.05),
        description="Wrong predictions, where labels came; of numbers, those off by more than four in five "
        "of the stable version's.",
    )
    labels: Labels | None = Field(default=None, description="Where labels come.")
    required_metrics: tuple[RolloutMetric, ...] = Field(
        default=(RolloutMetric.ERROR_RATE,),
        description="A platform that cannot measure one of them is refused; the others count where it can.",
    )
    replay: Replay | None = Field(default=Replay(), description="Null leaves it out.")
    shadow: Shadow | None = Field(default=Shadow(), description="Null leaves it out.")
    sticky_header: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9-]+$",
        description="Header whose value keeps a caller on one version, such as x-user-id.",
    )
    deadline_hours: float = Field(default=24.0, gt=0, description="Longest time until a decision.")
    on_deadline: DeadlineOutcome = Field(
        default=DeadlineOutcome.ROLL_BACK,
        description="What then: back to the stable version, or the split stays until a person decides.",
    )
    patience_minutes: float = Field(
        default=10.0, gt=0, description="Longest time that the candidate may take to be ready."
    )

    @field_validator("steps")
    @classmethod
    def _ascend(cls, steps: tuple[int, ...]) -> tuple[int, ...]:
        if list(steps) != sorted(set(steps)):
            raise ValueError(f"expected percents that ascend, such as [5, 25, 50]; received {list(steps)}")
        return steps
