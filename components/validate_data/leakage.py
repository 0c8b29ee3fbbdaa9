"""Whether a feature alone gives the target away.

Such a feature is a copy of the target, or was recorded because of it: when a prediction is asked for, it will
not be known.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from mulgil.artifacts import Check

# On few rows a feature separates the answers by chance. Above this probability nothing is concluded; so
# small because every feature is asked. Chosen by eye.
_GREATEST_CHANCE = 1e-6


def judge_leakage(
    name: str,
    target: str,
    values: npt.NDArray[np.float64],
    answers: npt.NDArray[np.float64],
    *,
    is_ordered: bool,
    is_number: bool = False,
) -> Check:
    """Refuse a feature that separates the answers on every row.

    An ordered feature separates them by thresholds, one between two answers; one without an order, by a
    single answer in each of its codes. Missing values count as a code of their own, since being missing can
    give the target away. A number is given away by a feature that rises, or falls, wherever it rises.

    Args:
        name: The feature.
        target: The target's column.
        values: The feature; NaN is missing.
        answers: The target, a number for each class; NaN is missing, and leaves its row out.
        is_ordered: Whether the feature has an order.
        is_number: Whether the target is a number rather than a class.

    Shapes:
        values, answers: (rows,).
    """
    is_known = ~np.isnan(answers)
    values, answers = values[is_known], answers[is_known]
    if is_number:
        is_present = ~np.isnan(values)
        ways = _ways_to_order(values[is_present], answers[is_present]) if is_ordered else None
        answers = answers if ways is None else answers[is_present]
        values = values if ways is None else values[is_present]
    else:
        ways = _ways_to_separate(values, answers, is_ordered=is_ordered)
    is_leak = ways is not None and _log2_chance(ways, answers) <= math.log2(_GREATEST_CHANCE)
    if not is_leak:
        finding = f"does not tell {target} alone"
    elif np.array_equal(values, answers):
        finding = f"is identical to {target} on all {len(answers)} rows"
    else:
        finding = f"tells {target} alone on all {len(answers)} rows"
    advice = "; give it the role ignore if it is not known when a prediction is asked for" if is_leak else ""
    return Check(name=f"leakage:{name}", is_passed=not is_leak, reason=f"{name}: {finding}{advice}")


def _ways_to_separate(
    values: npt.NDArray[np.float64], answers: npt.NDArray[np.float64], *, is_ordered: bool
) -> float | None:
    """Return the logarithm (base 2) of how many divisions of the rows would count as separated.

    `None` where the actual one does not.
    """
    classes = np.unique(answers)
    if not len(classes):
        return None
    is_missing = np.isnan(values)
    if is_ordered:
        if len(np.unique(answers[is_missing])) > 1:
            return None
        spans = sorted(
            (float(among.min()), float(among.max()))
            for among in (values[~is_missing & (answers == one)] for one in classes)
            if len(among)
        )
        if any(high >= next_low for (_, high), (next_low, _) in pairwise(spans)):
            return None
        # The classes in any order, and any of them among the missing.
        in_any_order = math.lgamma(len(classes) + 1) / math.log(2)
        return in_any_order + (math.log2(len(classes)) if is_missing.any() else 0.0)
    _, groups, sizes = np.unique(values, return_inverse=True, return_counts=True)
    counts = np.stack([np.bincount(groups, weights=answers == one) for one in classes])
    if not np.all((counts == 0) | (counts == sizes)):
        return None
    return len(sizes) * math.log2(max(2, len(classes)))


def _ways_to_order(values: npt.NDArray[np.float64], answers: npt.NDArray[np.float64]) -> float | None:
    """Return the same of how many orders of the rows would count as the target's own."""
    if not len(values):
        return None
    order = np.lexsort((values, answers))
    steps, rises = np.diff(values[order]), np.diff(answers[order]) > 0
    # A feature may tell equal targets apart; unequal ones it must not mix up.
    is_rising = np.all(steps[rises] > 0)
    falling = np.lexsort((-values, answers))
    is_falling = np.all(np.diff(values[falling])[np.diff(answers[falling]) > 0] < 0)
    return 1.0 if is_rising or is_falling else None


def _log2_chance(ways: float, answers: npt.NDArray[np.float64]) -> float:
    """Return the logarithm of the chance that answers dealt out at random would be separated, at most."""
    _, counts = np.unique(answers, return_counts=True)
    deals = math.lgamma(len(answers) + 1) - sum(math.lgamma(count + 1) for count in counts)
    return ways - deals / math.log(2)
