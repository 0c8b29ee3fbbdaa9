"""Whether a column moves with the target in the direction that the dictionary declares.

A file whose target was inverted, or whose column was, has no value that is wrong alone; it is the
association that gives it away.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from mulgil.artifacts import Check
from mulgil.contract import Association

CONFIDENCE = 0.95

# The standard error below needs four pairs.
_LEAST_ROWS = 4


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman's rank correlation with its confidence interval.

    Attributes:
        value: Between -1 and 1.
        low: Lower bound.
        high: Upper bound.
        rows: Pairs that it was computed from.
    """

    value: float
    low: float
    high: float
    rows: int


def correlate_ranks(
    x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], confidence: float = CONFIDENCE
) -> RankCorrelation | None:
    """Compute Spearman's rank correlation, ties at their mean rank, with an interval by Fisher's z.

    Args:
        x: One variable; NaN is missing, and leaves its pair out.
        y: The other.
        confidence: Of the interval.

    Returns:
        The correlation, or `None` where there is none: too few pairs, or a variable that does not vary.

    Shapes:
        x, y: (rows,).

    Source:
        Fisher's z with the standard error of D. G. Bonett and T. A. Wright, "Sample size requirements for
        estimating Pearson, Kendall and Spearman correlations", Psychometrika 65 (2000), 23-28:
        sqrt((1 + r² / 2) / (n - 3)).
    """
    is_paired = ~(np.isnan(x) | np.isnan(y))
    x, y = x[is_paired], y[is_paired]
    rows = len(x)
    if rows < _LEAST_ROWS or x.min() == x.max() or y.min() == y.max():
        return None
    r = float(np.corrcoef(_ranks(x), _ranks(y))[0, 1])
    # A perfect correlation's z is infinite; this one's is 18, and tells no less.
    z = math.atanh(max(-1 + 1e-16, min(1 - 1e-16, r)))
    margin = NormalDist().inv_cdf((1 + confidence) / 2) * math.sqrt((1 + r**2 / 2) / (rows - 3))
    return RankCorrelation(r, math.tanh(z - margin), math.tanh(z + margin), rows)


def judge_association(
    name: str,
    target: str,
    expected: Association,
    values: npt.NDArray[np.float64],
    answers: npt.NDArray[np.float64],
) -> Check:
    """Hold a declared direction against the data.

    It is violated only where the whole interval lies on the wrong side of zero: a weak association, or few
    rows, contradict nothing.

    Args:
        name: The column.
        target: The target's column.
        expected: The declared direction.
        values: The column; NaN is missing.
        answers: The target, 0 and 1.
    """
    found = correlate_ranks(values, answers)
    if found is None:
        reason = f"{name}: declared {expected} with {target}; too few rows, or no variation, to contradict it"
        return Check(name=f"association:{name}", is_passed=True, limit=0, reason=reason)
    is_contradicted = found.high < 0 if expected is Association.POSITIVE else found.low > 0
    return Check(
        name=f"association:{name}",
        is_passed=not is_contradicted,
        value=found.value,
        limit=0,
        reason=(
            f"{name}: the dictionary expects a {expected} association with {target}; received a rank "
            f"correlation of {found.value:+.2f} ({CONFIDENCE:.0%} interval {found.low:+.2f} to "
            f"{found.high:+.2f}) over {found.rows} rows"
        ),
    )


def _ranks(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: npt.NDArray[np.float64] = (np.cumsum(counts) - (counts - 1) / 2)[places]
    return ranks
