"""What must become of the prediction where one column of a row changes and the others stay."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from mulgil.contract.dictionary import Column, ColumnType, Contract, DataDictionary, canonical_code


class Expected(StrEnum):
    """What the prediction does.

    `stays`: an invariance test. `rises`, `falls`: a directional test; it may also stay.
    """

    STAYS = "stays"
    RISES = "rises"
    FALLS = "falls"


class BehaviorTest(Contract):
    """A column is changed in every test row, and the prediction must stay, or move one way alone."""

    column: str = Field(description="The feature that is changed; the others stay.")
    by: float | None = Field(
        default=None,
        description="Of a number, what is added, within the column's range; where the prediction must stay, "
        "it is taken away as well.",
    )
    to: Annotated[str, BeforeValidator(canonical_code, json_schema_input_type=str | float | bool)] | None = (
        Field(
            default=None,
            description="Of a code, or a yes and a no, the value that is put in place of any other; where "
            "the prediction must stay and this is not given, every other value is.",
        )
    )
    prediction: Expected = Field(description="What the prediction must do: stay, rise or fall.")
    of: Annotated[str, BeforeValidator(canonical_code, json_schema_input_type=str | float | bool)] | None = (
        Field(
            default=None, description="The class, label or target that is looked at, where there are several."
        )
    )
    tolerance: float = Field(
        default=0.0, ge=0, description="By how much it may be otherwise, in the prediction's own unit."
    )
    share: float = Field(
        default=1.0, gt=0, le=1, description="Of the test rows that can be changed, how many must do so."
    )

    @model_validator(mode="after")
    def _is_one_change(self) -> Self:
        if self.by is not None and self.to is not None:
            raise ValueError("a number is changed `by`, a code `to`; received both")
        if self.by == 0:
            raise ValueError("by: 0 changes nothing")
        return self

    @property
    def title(self) -> str:
        """What is asked, in words."""
        if self.by is None:
            change = f"to {self.to}" if self.to is not None else "to any other"
        elif self.prediction is Expected.STAYS:
            change = f"by {abs(self.by):g} either way"
        else:
            change = f"by {self.by:+g}"
        of = f" of {self.of}" if self.of is not None else ""
        within = f" within {self.tolerance:g}" if self.tolerance else ""
        return f"{self.column} {change}: prediction{of} {self.prediction}{within}"


def explain_behaviors(
    tests: Iterable[BehaviorTest], dictionary: DataDictionary, answers: Sequence[str]
) -> list[tuple[int, str]]:
    """Say which tests are not a dictionary's and why, by their place.

    Args:
        tests: The tests.
        dictionary: What the columns are.
        answers: The classes, labels or targets that are predicted; none where it is one number.
    """
    columns = {column.name: column for column in dictionary.inputs}
    explained = [(place, _explain(test, columns, answers)) for place, test in enumerate(tests)]
    return [(place, text) for place, text in explained if text is not None]


def _explain(test: BehaviorTest, columns: dict[str, Column], answers: Sequence[str]) -> str | None:
    column = columns.get(test.column)
    others = (ColumnType.IMAGE, ColumnType.TIMESTAMP)
    if column is None or column.type in others:
        known = ", ".join(name for name, one in columns.items() if one.type not in others)
        known = known or "none but an image or a date"
        return f"column: a request carries the columns {known}; received {test.column}"
    if column.type.is_numeric:
        if test.by is None:
            return f"by: {test.column} is a number, and is changed by one; received nothing"
        if column.type is ColumnType.INTEGER and not test.by.is_integer():
            return f"by: {test.column} is changed by a whole number; received {test.by:g}"
    elif test.by is not None:
        return f"by: {test.column} is no number; write `to`; received by={test.by:g}"
    else:
        values = values_of(column)
        if test.to is None and test.prediction is not Expected.STAYS:
            return f"to: the prediction {test.prediction} where {test.column} becomes what? received nothing"
        if test.to is not None and test.to not in values:
            return f"to: {test.column} is one of {', '.join(values)}; received {test.to}"
    if test.of is not None and test.of not in answers:
        known = (
            f"is one of {', '.join(answers)}" if answers else "goes with several classes, labels or targets"
        )
        return f"of: it {known}; received {test.of}"
    if test.of is None and answers and test.prediction is not Expected.STAYS:
        return f"of: one of {', '.join(answers)} {test.prediction}; received nothing"
    return None


def values_of(column: Column) -> tuple[str, ...]:
    """Return the values of a code, or of a yes and a no, as a project writes them."""
    return tuple(column.categories) if column.categories else ("false", "true")
