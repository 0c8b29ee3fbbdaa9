"""Which settings of a model are tried, how they are chosen, and how many."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from mulgil.contract.dictionary import Contract

Setting = float | int | bool | str | tuple[int, ...]


class SearchRange(Contract):
    """What a setting may be tried at: from a number to another, or one of several values."""

    low: float | None = Field(default=None, description="Least number.")
    high: float | None = Field(default=None, description="Greatest number.")
    scale: Literal["linear", "log"] = Field(
        default="linear", description="Whether equal steps, or equal factors, are as likely as each other."
    )
    choices: tuple[Setting, ...] = Field(default=(), description="The values, in place of a range.")

    @model_validator(mode="after")
    def _is_one_kind(self) -> Self:
        is_range = self.low is not None and self.high is not None
        if is_range == bool(self.choices) or (self.low is None) != (self.high is None):
            raise ValueError("expected low and high, or choices")
        if self.low is not None and self.high is not None:
            if self.low >= self.high:
                raise ValueError(f"low must be below high; received low={self.low:g} high={self.high:g}")
            if self.scale == "log" and self.low <= 0:
                raise ValueError(f"a logarithmic scale begins above 0; received low={self.low:g}")
        return self

    @property
    def ends(self) -> tuple[Setting, ...]:
        """The values that decide whether all are allowed."""
        return self.choices or tuple(end for end in (self.low, self.high) if end is not None)


class Tuning(Contract):
    """A search among settings by cross-validation, beside those that `training` itself declares."""

    method: Literal["random", "bayesian", "hyperband"] = Field(
        default="random",
        description="`random` draws, `bayesian` asks a Gaussian process where the loss may be less, and "
        "`hyperband` gives many networks a few epochs and the best of them more.",
    )
    trials: int = Field(default=20, ge=1, le=1000, description="Settings that are tried, at most.")
    time_budget_seconds: float = Field(default=600, gt=0, description="After which no other is tried.")
    proposed_at_once: int = Field(
        default=1,
        ge=1,
        le=20,
        description="Settings that `bayesian` and `hyperband` propose before they hear how the first of them "
        "did, so that they are fitted side by side; `random` needs to hear nothing.",
    )
    processes: int = Field(
        default=1,
        ge=1,
        le=20,
        description="That fit the folds of all settings proposed at once, at most as many as there are cores "
        "and such folds; the result is the same.",
    )
    space: Annotated[dict[str, SearchRange], Field(min_length=1)] = Field(
        description="By setting: a key of `training`, or a hyperparameter of its family or builder."
    )
