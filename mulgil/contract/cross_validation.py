"""How often the rows that are no test rows are divided into folds, to tell how good such a model is."""

from __future__ import annotations

from pydantic import Field

from mulgil.contract.dictionary import Contract
from mulgil.contract.learning import Seed


class CrossValidation(Contract):
    """K folds of the training and validation rows, each held out once, and all that several times over.

    Folds keep the classes' shares. With `split.kind: group` an entity's rows are all in one of them. With
    `split.kind: time` they follow each other in time, and a model of the rows before a fold answers it.
    """

    folds: int = Field(default=5, ge=2, le=50, description="Parts of the rows, each held out once.")
    repeats: int = Field(
        default=1,
        ge=1,
        le=100,
        description="How often the rows are divided anew, each by the next seed.",
    )
    seed: Seed = Field(default=0, description="Of the first division.")
