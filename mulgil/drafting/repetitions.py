"""Rows that are alike in every column: whether they are copies, or as alike as chance makes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mulgil.drafting.profile import ColumnProfile, Kind

# How many times as many as chance would make may still be chance's, and how many times as few others, since
# columns go together; chosen by eye. Beyond, copies among them would be in training and test rows alike.
_AS_CHANCE = 1.5

# Nobody writes a table so many times; chosen by eye.
_COPIES = 20


@dataclass(frozen=True)
class Repetitions:
    """Rows that are like an earlier one in every column.

    Attributes:
        rows: How many.
        others: How many rows there are beside them, no two of which are alike.
        expected: How many chance would make if no column had to do with another.
        are_told_apart: Whether some column has so many values that rows hardly agree in it unless in all.
    """

    rows: int
    others: int
    expected: float = 0.0
    are_told_apart: bool = False

    @property
    def are_as_chance_makes(self) -> bool:
        """Whether chance explains about as many as there are, and about as few others.

        Where nearly every row has one like it anyway, copies hardly make more, but leave many fewer others.
        So few are left of columns that go together, too; with many rows of each kind that is the reason.
        """
        expected_others = self.rows + self.others - self.expected
        are_few = expected_others > _AS_CHANCE * self.others
        return self.rows <= _AS_CHANCE * self.expected and (not are_few or self.rows >= _COPIES * self.others)


def find_repetitions(profiles: Sequence[ColumnProfile]) -> Repetitions:
    """Find the rows that are like an earlier one, and how many chance would make.

    Where columns go together, as answers to a survey do, more rows are alike than chance alone makes, and no
    number tells them from copies.
    """
    rows = profiles[0].rows
    if any(profile.kind is Kind.OTHER for profile in profiles):
        # Of those only that they are there is known.
        return Repetitions(0, rows)
    keys: npt.NDArray[np.int64] = np.zeros(rows, dtype=np.int64)
    # With many values first, most columns of a table in which no row repeats another are never looked at.
    for profile in sorted(profiles, key=lambda profile: -profile.distinct):
        codes = profile.codes + 1
        _, keys = np.unique(keys * (int(codes.max()) + 1) + codes, return_inverse=True)
        if int(keys.max()) + 1 == rows:
            return Repetitions(0, rows)
    _, first, alike = np.unique(keys, return_index=True, return_counts=True)
    pairs_alike = _pairs(alike)
    chance = np.ones(len(first))
    least_agreeing = np.inf
    for profile in profiles:
        rows_of = np.bincount(profile.codes + 1)
        # Those that are alike tell nothing of chance: they may be copies.
        chance *= (rows_of[profile.codes[first] + 1] - alike) / np.maximum(rows - alike, 1)
        least_agreeing = min(least_agreeing, _pairs(rows_of) - pairs_alike)
    return Repetitions(
        rows - len(first),
        len(first),
        float((alike * _share_after_another((rows - 1) * chance)).sum()),
        are_told_apart=bool(least_agreeing <= pairs_alike),
    )


def _share_after_another(others: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return how often a row at any place has an earlier one like it, of so many like it in the mean.

    With a Poisson number of them before a place `u` of the table, that is the mean of 1 - exp(-others u).
    """
    # Of few it is half their number, where the difference of nearly equal ones has no digits left.
    many = np.maximum(others, 1e-6)
    return np.where(others < 1e-6, others / 2, 1 + np.expm1(-many) / many)


def _pairs(counts: npt.NDArray[np.int64]) -> float:
    """Return how many pairs there are within groups of rows."""
    sizes = counts.astype(np.float64)
    return float((sizes * (sizes - 1)).sum() / 2)
