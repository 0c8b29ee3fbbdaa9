"""Rows that are alike in every column: whether they are copies, or as alike as chance makes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mulgil.drafting.profile import ColumnProfile, Kind


@dataclass(frozen=True)
class Repetitions:
    """Rows that are like an earlier one in every column.

    Attributes:
        rows: How many.
        are_expected: Whether some would be alike even if no column had to do with another.
    """

    rows: int
    are_expected: bool


def find_repetitions(profiles: Sequence[ColumnProfile]) -> Repetitions:
    """Find the rows that are like an earlier one.

    Two rows agree in a column by chance as often as pairs of rows do that are not alike in all columns, since
    copies tell nothing of chance. Where columns go together, as they do, more rows are alike; where even if
    they did not some would be, being alike says nothing of being a copy.
    """
    rows = profiles[0].rows
    if any(profile.kind is Kind.OTHER for profile in profiles):
        # Of those only that they are there is known.
        return Repetitions(0, are_expected=False)
    keys: npt.NDArray[np.int64] = np.zeros(rows, dtype=np.int64)
    # With many values first, most columns of a table in which no row repeats another are never looked at.
    for profile in sorted(profiles, key=lambda profile: -profile.distinct):
        codes = profile.codes + 1
        _, keys = np.unique(keys * (int(codes.max()) + 1) + codes, return_inverse=True)
        if int(keys.max()) + 1 == rows:
            return Repetitions(0, are_expected=False)
    pairs = rows * (rows - 1) / 2
    alike = _pairs(keys)
    agreement = [(_pairs(profile.codes + 1) - alike) / pairs for profile in profiles]
    return Repetitions(rows - int(keys.max()) - 1, are_expected=bool(pairs * np.prod(agreement) >= 1))


def _pairs(codes: npt.NDArray[np.int64]) -> float:
    """Return how many pairs of rows have the same code."""
    counts = np.bincount(codes).astype(np.float64)
    return float((counts * (counts - 1)).sum() / 2)
