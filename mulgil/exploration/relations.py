"""How columns tell of the target and of each other, each alone; pure functions of profiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from mulgil.drafting.profile import ColumnProfile
from mulgil.exploration.columns import Codes, Explored, Floats, bin_column, is_number, one_hot_target

# Of one pair one column could go; chosen by eye.
REDUNDANT = 0.95

# Pairs of more columns would be more than anyone reads, and cost seconds.
_MOST_COLUMNS = 300

# Of fewer rows nothing is said. Chosen by eye.
_LEAST_ROWS = 20


@dataclass(frozen=True)
class Pair:
    """Two columns that say nearly the same.

    Attributes:
        one: A column.
        other: Another.
        strength: From 0 to 1.
    """

    one: str
    other: str
    strength: float


def predictive_power(explored: Explored, profile: ColumnProfile) -> float:
    """Return which share of the target's spread a column alone explains, on rows it was not learned from.

    The mean target of each value, or of each of twenty ranges of a number, is learned on one half of the rows
    and judged on the other, and the other way round. 1 tells the target alone; 0 is no better than its mean.
    """
    codes, hot = bin_column(profile), one_hot_target(explored)
    is_known = ~np.isnan(hot).any(axis=1)
    # The rows that lack the value are one more group of them.
    codes, hot = codes[is_known] + 1, hot[is_known]
    if len(codes) < _LEAST_ROWS:
        return 0.0
    halves = np.random.default_rng(0).permutation(len(codes)) % 2 == 0
    left = total = 0.0
    for learned in (halves, ~halves):
        mean = hot[learned].mean(axis=0)
        guesses = _means(codes[learned], hot[learned], int(codes.max()) + 1, mean)[codes[~learned]]
        left += float(((hot[~learned] - guesses) ** 2).sum())
        total += float(((hot[~learned] - mean) ** 2).sum())
    return max(0.0, 1 - left / total) if total else 0.0


def find_redundant(profiles: Sequence[ColumnProfile]) -> list[Pair]:
    """Return pairs of columns of which one nearly says the other, the strongest first.

    Numbers by Spearman's rank correlation, codes by Cramér's V.
    """
    numbers = [p for p in profiles if is_number(p) and p.distinct > 2][:_MOST_COLUMNS]
    pairs = []
    if len(numbers) > 1:
        ranks = np.stack([_ranks(profile.numbers) for profile in numbers])
        for i, j in zip(*np.nonzero(np.triu(np.abs(_correlate(ranks)) >= REDUNDANT, 1)), strict=True):
            strength = float(abs(_correlate(ranks[[i, j]])[0, 1]))
            pairs.append(Pair(numbers[i].name, numbers[j].name, strength))
    codes = [p for p in profiles if p not in numbers and 1 < p.distinct <= 50][:_MOST_COLUMNS]
    for one, other in combinations(codes, 2):
        strength = cramers_v(one.codes, other.codes)
        if strength >= REDUNDANT:
            pairs.append(Pair(one.name, other.name, strength))
    return sorted(pairs, key=lambda pair: -pair.strength)


def cramers_v(one: Codes, other: Codes) -> float:
    """Return how far one column's codes go with another's, from 0 to 1."""
    both = (one >= 0) & (other >= 0)
    if not both.any():
        return 0.0
    _, rows = np.unique(one[both], return_inverse=True)
    _, columns = np.unique(other[both], return_inverse=True)
    table = np.zeros((rows.max() + 1, columns.max() + 1))
    np.add.at(table, (rows, columns), 1)
    least = min(table.shape) - 1
    if least < 1:
        return 0.0
    expected = table.sum(1, keepdims=True) * table.sum(0, keepdims=True) / table.sum()
    chi_square = ((table - expected) ** 2 / expected).sum()
    return float(np.sqrt(min(1.0, chi_square / table.sum() / least)))


def _means(codes: Codes, hot: Floats, groups: int, mean: Floats) -> Floats:
    """Return the mean target of each group, drawn to that of all rows as far as groups differ by chance.

    Shapes:
        (groups, numbers of the target).

    Source:
        Efron, Morris (1973), JASA 68: a mean of n rows is worth n t / (n t + s), with s the variance within
        groups and t the one between them, here by the moments of a one-way analysis of variance.
    """
    counts = np.bincount(codes, minlength=groups)[:, None]
    sums = np.stack([np.bincount(codes, column, minlength=groups) for column in hot.T], axis=1)
    means = sums / np.maximum(counts, 1)
    freedom = len(codes) - int((counts > 0).sum())
    if freedom <= 0:
        # A value of its own in every row: nothing tells what is chance.
        return np.broadcast_to(mean, means.shape)
    within = float(((hot - means[codes]) ** 2).sum()) / freedom
    among = float((counts * (means - mean) ** 2).sum()) - (len(codes) - freedom - 1) * within
    between = max(0.0, among / (len(codes) - float((counts**2).sum()) / len(codes) or 1.0))
    shrunk: Floats = mean + (means - mean) * counts * between / np.maximum(counts * between + within, 1e-300)
    return shrunk


def _ranks(numbers: Floats) -> Floats:
    """Return each number's rank, equal ones alike, in the middle where it is missing."""
    is_there = ~np.isnan(numbers)
    values, places, counts = np.unique(numbers[is_there], return_inverse=True, return_counts=True)
    of_values = np.cumsum(counts) - (counts + 1) / 2
    ranks = np.full(len(numbers), of_values[places].mean() if len(values) else 0.0)
    ranks[is_there] = of_values[places]
    return ranks


def _correlate(ranks: Floats) -> Floats:
    centred = ranks - ranks.mean(axis=1, keepdims=True)
    size = np.sqrt((centred**2).sum(axis=1))
    size[size == 0] = np.inf
    correlation: Floats = centred @ centred.T / size[:, None] / size[None, :]
    return correlation
