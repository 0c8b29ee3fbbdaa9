"""How far the validation and test rows lie from the training rows, column by column.

TFDV has a Jensen-Shannon comparator, and it is not used: it lays two ten-bucket histograms of different ends
over each other and cuts buckets by length. Between two samples (180 and 60 rows) of one Poisson distribution
with mean 2 it measured 0.30 in the median, where the same cells for both give 0.02 (TFDV 1.16.1).
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from mulgil.artifacts import Check

# The usual number for this purpose, TFDV's own included.
_CELLS = 10

CONFIDENCE = 0.95


def find_edges(training: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the edges of the cells of a column with an order: each reaches up to its edge, and has it.

    Ten cells of about as many training rows each, one below the first edge, and one above the last.

    Args:
        training: Values of the training rows, none missing, at least one.
    """
    shares = np.arange(1, _CELLS + 1) / _CELLS
    inner = np.quantile(training, shares, method="inverted_cdf")
    edges: npt.NDArray[np.float64] = np.unique([np.nextafter(training.min(), -np.inf), *inner])
    return edges


def divide(
    training: npt.NDArray[np.float64], other: npt.NDArray[np.float64], *, is_ordered: bool
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Count both samples in the same cells, leaving out the cells that are empty in both.

    Args:
        training: Values of the training rows, none missing, at least one.
        other: Values of the other rows, none missing.
        is_ordered: Ten cells of about as many training rows each, and one beyond either extreme; or else a
            cell a value.

    Returns:
        The two counts a cell.

    Shapes:
        (cells,) each.
    """
    if is_ordered:
        edges = find_edges(training)
        cells = [np.searchsorted(edges, values) for values in (training, other)]
    else:
        codes = np.unique(np.concatenate([training, other]))
        cells = [np.searchsorted(codes, values) for values in (training, other)]
    size = max(place.max(initial=0) for place in cells) + 1
    p, q = (np.bincount(place, minlength=size) for place in cells)
    is_used = (p + q) > 0
    return p[is_used], q[is_used]


def measure_divergence(p: npt.NDArray[np.int64], q: npt.NDArray[np.int64]) -> float:
    """Return the Jensen-Shannon divergence of two samples that were counted in the same cells.

    Units:
        Bits: 0 for equal shares, 1 for no cell in common.

    Source:
        J. Lin, "Divergence measures based on the Shannon entropy", IEEE Transactions on Information Theory 37
        (1991), 145-151.
    """
    shares = np.stack([p / p.sum(), q / q.sum()])
    middle = shares.mean(axis=0)
    terms = np.where(shares > 0, shares * np.log2(np.where(shares > 0, shares, 1) / middle), 0)
    return float(max(0.0, terms.sum() / 2))


def greatest_by_chance(cells: int, rows: int, other_rows: int, confidence: float = CONFIDENCE) -> float:
    """Return the divergence that two samples of one distribution stay under with some confidence.

    To second order the divergence in nats is chi-square · (1 / rows + 1 / other_rows) / 8, chi-square being
    the statistic of homogeneity, with one degree of freedom less than there are cells.

    Args:
        cells: Cells that are not empty.
        rows: Size of one sample.
        other_rows: Size of the other.
        confidence: Of staying under it.

    Units:
        Bits.

    Source:
        I. Grosse et al., "Analysis of symbolic sequences using the Jensen-Shannon divergence", Physical
        Review E 65 (2002), 041905, for the chi-square law; E. B. Wilson and M. M. Hilferty, "The
        distribution of chi-square", PNAS 17 (1931), 684-688, for its quantile.
    """
    freedom = cells - 1
    if freedom < 1:
        return 0.0
    z = NormalDist().inv_cdf(confidence)
    chi_square = freedom * (1 - 2 / (9 * freedom) + z * math.sqrt(2 / (9 * freedom))) ** 3
    return chi_square * (1 / rows + 1 / other_rows) / 8 / math.log(2)


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
    p, q = divide(training, other, is_ordered=is_ordered)
    value = measure_divergence(p, q)
    chance = greatest_by_chance(len(p), len(training), len(other))
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
