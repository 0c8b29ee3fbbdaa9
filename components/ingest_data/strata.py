"""Which rows are alike for a split: of one class, of one set of labels, or of about the same number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mulgil.contract import Column
from mulgil.contract.sources import Split
from mulgil.errors import InputError, describe

# Deciles follow a number's distribution closely; more would be finer than a split of few rows can keep.
_MOST_BINS = 10


@dataclass(frozen=True)
class Strata:
    """What a split keeps the shares of.

    Attributes:
        of_rows: Each row's stratum.
        are_classes: Whether every split must have every stratum, since it is a class to be learned.
    """

    of_rows: pa.Array
    are_classes: bool


def find_strata(columns: Sequence[Column], targets: Sequence[pa.Array], split: Split) -> Strata:
    """Sort rows into strata by their targets.

    Args:
        columns: The targets.
        targets: Their values, an array a column.
        split: Shares, which say how fine numbers can be told apart.

    Raises:
        InputError: A number to be predicted is the same in every row.
    """
    if columns[0].type.is_numeric:
        for column, values in zip(columns, targets, strict=True):
            _refuse_constant(column, values)
        return Strata(_bin(targets[0], split), are_classes=False)
    if len(columns) == 1:
        return Strata(targets[0], are_classes=True)
    return Strata(_join_labels(targets), are_classes=False)


def _join_labels(targets: Sequence[pa.Array]) -> pa.Array:
    """Return each row's set of labels."""
    return pc.binary_join_element_wise(*(pc.if_else(target, "1", "0") for target in targets), "")


def _refuse_constant(column: Column, values: pa.Array) -> None:
    extremes = pc.min_max(values).as_py()
    if len(values) and extremes["min"] == extremes["max"]:
        shown = "" if column.sensitive else f"; received {extremes['min']}"
        raise InputError(
            describe(
                f"There is nothing to learn: {column.name} has the same value in every row{shown}",
                expected="a target that varies",
            )
        )


def _bin(values: pa.Array, split: Split) -> pa.Array:
    numbers = pc.cast(values, pa.float64()).to_numpy()
    bins = min(_MOST_BINS, int(min(split.test_ratio, split.validation_ratio) * len(numbers)) // 2)
    if bins < 2:
        return pa.array(np.zeros(len(numbers), dtype=np.int64))
    edges = np.unique(np.quantile(numbers, np.arange(1, bins) / bins))
    return pa.array(np.searchsorted(edges, numbers, side="left"))
