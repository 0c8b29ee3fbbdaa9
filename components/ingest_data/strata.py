"""Which rows are alike for a split: of one class, of one set of labels, or of about the same number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mulgil.contract import Column
from mulgil.contract.project import Split
from mulgil.contract.values import Value
from mulgil.errors import InputError, describe

# Deciles follow a number's distribution closely; more would be finer than a split of few rows can keep.
_MOST_BINS = 10
# A rarer set of labels cannot be kept in three splits; such rows are pooled. Chosen by eye.
_LEAST_ROWS_OF_A_SET = 10


@dataclass(frozen=True)
class Strata:
    """What a split keeps the shares of.

    Attributes:
        of_rows: Each row's stratum.
        are_classes: Whether every split must have every stratum, since it is a class to be learned.
    """

    of_rows: list[Value]
    are_classes: bool


def find_strata(columns: Sequence[Column], targets: Sequence[Sequence[Value]], split: Split) -> Strata:
    """Sort rows into strata by their targets.

    Args:
        columns: The targets.
        targets: Their values, a list a column.
        split: Shares, which say how fine numbers can be told apart.

    Raises:
        InputError: A number to be predicted is the same in every row.
    """
    if columns[0].type.is_numeric:
        for column, values in zip(columns, targets, strict=True):
            _refuse_constant(column, values)
        return Strata(_bin(targets[0], split), are_classes=False)
    if len(columns) == 1:
        return Strata(list(targets[0]), are_classes=True)
    sets = ["".join("1" if value else "0" for value in row) for row in zip(*targets, strict=True)]
    counts = Counter(sets)
    pooled: list[Value] = [labels if counts[labels] >= _LEAST_ROWS_OF_A_SET else "others" for labels in sets]
    # A pool too small to be kept joins the commonest set.
    if 0 < pooled.count("others") < _LEAST_ROWS_OF_A_SET and len(set(pooled)) > 1:
        commonest = counts.most_common(1)[0][0]
        pooled = [commonest if labels == "others" else labels for labels in pooled]
    return Strata(pooled, are_classes=False)


def _refuse_constant(column: Column, values: Sequence[Value]) -> None:
    if values and min(values) == max(values):  # type: ignore[type-var]
        shown = "" if column.sensitive else f"; received {values[0]}"
        raise InputError(
            describe(
                f"There is nothing to learn: {column.name} has the same value in every row{shown}",
                expected="a target that varies",
            )
        )


def _bin(values: Sequence[Value], split: Split) -> list[Value]:
    numbers = np.array(values, dtype=np.float64)
    bins = min(_MOST_BINS, int(min(split.test_ratio, split.validation_ratio) * len(numbers)) // 2)
    if bins < 2:
        return [0] * len(numbers)
    edges = np.unique(np.quantile(numbers, np.arange(1, bins) / bins))
    return [int(place) for place in np.searchsorted(edges, numbers, side="left")]
