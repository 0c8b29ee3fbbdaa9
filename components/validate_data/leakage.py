"""Whether a feature alone gives the target away.

Such a feature is a copy of the target, or was recorded because of it: when a prediction is asked for, it will
not be known.
"""

from __future__ import annotations

import math

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
) -> Check:
    """Refuse a feature that separates the answers on every row.

    An ordered feature separates them by one threshold; one without an order, by a single answer in each of
    its codes. Missing values count as a code of their own, since being missing can give the target away.

    Args:
        name: The feature.
        target: The target's column.
        values: The feature; NaN is missing.
        answers: The target, 0 and 1; NaN is missing, and leaves its row out.
        is_ordered: Whether the feature has an order.

    Shapes:
        values, answers: (rows,).
    """
    is_known = ~np.isnan(answers)
    values, answers = values[is_known], answers[is_known]
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
    is_missing = np.isnan(values)
    if is_ordered:
        yes, no = values[~is_missing & (answers == 1)], values[~is_missing & (answers == 0)]
        has_threshold = not len(yes) or not len(no) or yes.max() < no.min() or no.max() < yes.min()
        if not has_threshold or len(np.unique(answers[is_missing])) > 1:
            return None
        # Either answer above the threshold, and either among the missing.
        return 2.0 if is_missing.any() else 1.0
    _, groups, sizes = np.unique(values, return_inverse=True, return_counts=True)
    positives = np.bincount(groups, weights=answers)
    if not np.all((positives == 0) | (positives == sizes)):
        return None
    return float(len(sizes))


def _log2_chance(ways: float, answers: npt.NDArray[np.float64]) -> float:
    """Return the logarithm of the chance that answers dealt out at random would be separated, at most."""
    rows, positives = len(answers), int(answers.sum())
    deals = math.lgamma(rows + 1) - math.lgamma(positives + 1) - math.lgamma(rows - positives + 1)
    return ways - deals / math.log(2)
