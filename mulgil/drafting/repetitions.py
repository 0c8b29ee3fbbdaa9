"""Rows that are alike in every column: whether they are copies, or as alike as chance makes them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mulgil.drafting.profile import ColumnProfile, Kind

Codes = npt.NDArray[np.int64]


def count_repetitions(profiles: Sequence[ColumnProfile]) -> int:
    """Return how many rows are like an earlier one in every column."""
    if any(profile.kind is Kind.OTHER for profile in profiles):
        # Of those only that they are there is known.
        return 0
    keys: Codes = np.zeros(profiles[0].rows, dtype=np.int64)
    different = 1
    # With many values first, most columns of a table in which no row repeats another are never looked at.
    for profile in sorted(profiles, key=lambda profile: -profile.distinct):
        codes = profile.codes + 1
        _, keys = np.unique(keys * (int(codes.max()) + 1) + codes, return_inverse=True)
        different = int(keys.max()) + 1
        if different == profile.rows:
            return 0
    return profiles[0].rows - different


def are_alike_by_chance(profiles: Sequence[ColumnProfile]) -> bool:
    """Whether two rows would be expected to be alike even if no column had to do with another.

    Two rows agree in a column by the sum of its values' squared shares. Where columns go together, as they
    do, more rows are alike; where even so some are, being alike says nothing of being a copy.
    """
    rows = profiles[0].rows
    agreement = 1.0
    for profile in profiles:
        counts = np.bincount(profile.codes + 1)
        agreement *= float(((counts / rows) ** 2).sum())
    return rows * (rows - 1) / 2 * agreement >= 1
