"""How far the validation and test rows lie from the training rows, column by column.

TFDV has a Jensen-Shannon comparator, and it is not used: it lays two ten-bucket histograms of different ends
over each other and cuts buckets by length. Between two samples (180 and 60 rows) of one Poisson distribution
with mean 2 it measured 0.30 in the median, where the same cells for both give 0.02 (TFDV 1.16.1).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mulgil.artifacts import Check
from mulgil.divergence import divide, greatest_by_chance, measure_divergence


def judge_divergence(
    name: str,
    split: str,
    training: npt.NDArray[np.float64],
    other: npt.NDArray[np.float64],
    *,
    is_ordered: bool,
    limit: float | None,
) -> Check:
    """Record how far a column of a split lies from the training rows, and judge it where a limit is declared.

    The divergence of two samples is never 0, and the fewer the rows, the greater it is by chance alone. Where
    that is more than the declared limit, it takes the limit's place: a gate must not judge the luck of a
    shuffle.

    Args:
        name: The column.
        split: The split beside the training rows.
        training: Values of the training rows; NaN is missing, and plays no part.
        other: Values of the split's rows.
        is_ordered: Whether the column has an order.
        limit: The declared limit.
    """
    check = f"skew:{name}:{split}"
    training, other = training[~np.isnan(training)], other[~np.isnan(other)]
    if not len(training) or not len(other):
        reason = f"{name}: no values to compare between train and {split}"
        return Check(name=check, is_passed=True, limit=limit, reason=reason)
    cells = divide(training, other, is_ordered=is_ordered)
    value = measure_divergence(cells.p, cells.q)
    chance = greatest_by_chance(len(cells.p), len(training), len(other))
    sentence = (
        f"{name}: the divergence of {split} from train is {value:.3f}, and up to {chance:.3f} would be chance"
    )
    if limit is None:
        return Check(name=check, is_passed=True, value=value, reason=f"{sentence}; no limit is declared")
    held = max(limit, chance)
    return Check(
        name=check,
        is_passed=value <= held,
        value=value,
        limit=held,
        reason=f"{sentence}; the dictionary allows {limit:g}",
    )
