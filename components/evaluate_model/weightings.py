"""Many weightings of the same rows at once, whose rows may be weighted in groups.

A bootstrap resample is a vector of whole numbers: how often each row was drawn. So a metric that takes
weights serves the rows as they are, every resample and every group left out in one call, without sorting the
scores again. What a metric needs of the rows is summed by group first, so that millions of rows cost little
more than the groups do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array

Booleans = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.intp]

# Below this share of filled places a sparse product is the faster one; chosen by eye.
_SPARSE_SHARE = 0.1


@dataclass(frozen=True)
class Weightings:
    """How much each group of rows counts, under each weighting.

    Attributes:
        of_groups: The weights.
        group_of: Each row's group.
        most_levels: About how many levels of a score are told apart; none is all of them. A level that is
            merged with its neighbour holds at most four parts in `most_levels` of the yes and of the no rows.

    Shapes:
        of_groups: (weightings, groups); group_of: (rows,).
    """

    of_groups: Floats
    group_of: Integers
    most_levels: int | None = None

    @classmethod
    def of_rows(cls, weights: Floats) -> Weightings:
        """Weigh every row alone.

        Shapes:
            weights: (weightings, rows).
        """
        return cls(weights, np.arange(weights.shape[1]))

    @classmethod
    def equal(cls, rows: int, most_levels: int | None = None) -> Weightings:
        """Weigh every row the same: the rows as they are."""
        return cls(np.ones((1, 1)), np.zeros(rows, dtype=np.intp), most_levels)

    def __len__(self) -> int:
        return len(self.of_groups)

    def chosen(self, which: Booleans) -> Weightings:
        """Return some of the weightings."""
        return Weightings(self.of_groups[which], self.group_of, self.most_levels)

    def total(self, values: npt.NDArray[Any]) -> Floats:
        """Return the weighted sum under each weighting.

        Shapes:
            values: (rows,); returns (weightings,).
        """
        return self.of_groups @ np.bincount(self.group_of, values, self._groups)

    def average(self, values: npt.NDArray[Any]) -> Floats:
        """Return the weighted mean under each weighting."""
        return self.total(values) / self.total(np.ones(len(values)))

    def varies(self, values: Floats) -> Booleans:
        """Return for each weighting whether the rows that it counts differ."""
        greatest, least = np.full(self._groups, -np.inf), np.full(self._groups, np.inf)
        np.maximum.at(greatest, self.group_of, values)
        np.minimum.at(least, self.group_of, values)
        is_drawn = self.of_groups > 0
        varies: Booleans = np.where(is_drawn, greatest, -np.inf).max(axis=1) > np.where(
            is_drawn, least, np.inf
        ).min(axis=1)
        return varies

    def by_level(self, target: Booleans, score: Floats) -> tuple[Floats, Floats]:
        """Sum the weights of the yes and of the no rows at each level of a score, in rising order.

        Shapes:
            target and score: (rows,); returns (weightings, levels) twice.
        """
        _, level = np.unique(score, return_inverse=True)
        if self.most_levels is not None and level.max() >= self.most_levels:
            level = _merge_levels(level, target, self.most_levels)
        levels = int(level.max()) + 1
        return self._totals(level[target], levels, target), self._totals(level[~target], levels, ~target)

    def _totals(self, level: Integers, levels: int, which: Booleans) -> Floats:
        shape = (self._groups, levels)
        entries = (np.ones(len(level)), (self.group_of[which], level))
        counted = coo_array(entries, shape=shape).tocsr()
        is_sparse = counted.nnz < _SPARSE_SHARE * self._groups * levels
        totals: Floats = self.of_groups @ (counted if is_sparse else counted.toarray())
        return totals

    @property
    def _groups(self) -> int:
        return self.of_groups.shape[1]


def _merge_levels(level: Integers, target: Booleans, most: int) -> Integers:
    """Merge neighbouring levels while they hold few of the yes and few of the no rows.

    A lone yes among many no rows keeps a level of its own, so that a rare class is ordered exactly.
    """
    parts = most // 4
    key = np.zeros(int(level.max()) + 1, dtype=np.intp)
    for which in (target, ~target):
        counts = np.bincount(level[which], minlength=len(key))
        to_here = np.cumsum(counts)
        for reached in (to_here - counts, to_here):
            key += reached * parts // max(int(to_here[-1]), 1)
    _, merged = np.unique(key, return_inverse=True)
    of_rows: Integers = merged[level]
    return of_rows
