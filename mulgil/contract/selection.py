"""Which features a model reads, where the training rows are to say it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mulgil.contract.dictionary import Contract, DataDictionary


class Selection(Contract):
    """How features are chosen by the rows that a model is fitted on; requests bring all of them as ever."""

    method: Literal["mutual_information", "select_from_model", "permutation_importance"] = Field(
        description="`mutual_information` asks what each feature alone says of the target, "
        "`select_from_model` what a random forest makes of it among the others, and `permutation_importance` "
        "what the project's own model loses where its values are shuffled.",
    )
    columns: int | None = Field(
        default=None,
        ge=1,
        description="How many features are kept, the most important ones; if not given, those that matter "
        "more than chance makes it seem.",
    )


def explain_selection(selection: Selection | None, dictionary: DataDictionary) -> str | None:
    """Say why features cannot be chosen from a dictionary's; `None` where they can."""
    if selection is None:
        return None
    features = dictionary.features
    image = next((column.name for column in features if column.image is not None), None)
    if image is not None:
        return f"selection: features are chosen from columns of numbers and codes; {image} is an image"
    if selection.columns is not None and selection.columns >= len(features):
        return (
            f"selection: expected fewer columns than the {len(features)} features that there are; "
            f"received columns={selection.columns}"
        )
    return None
