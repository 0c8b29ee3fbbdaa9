"""How far two samples of a column lie apart, in common cells, and how far chance alone takes them."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

# The usual number for this purpose, TFDV's own included.
_CELLS = 10

CONFIDENCE = 0.95

# The bounds of a cell: above the one (of the least value: from it) and up to the other; of a code, itself.
Bounds = tuple[float, float]
MISSING: Bounds = (math.nan, math.nan)


@dataclass(frozen=True)
class Cells:
    """Two samples, counted in the same cells.

    Attributes:
        p: Rows of the first in each cell.
        q: Rows of the second.
        bounds: Of each cell; `MISSING` of that of the rows without a value.

    Shapes:
        p, q: (cells,).
    """

    p: npt.NDArray[np.int64]
    q: npt.NDArray[np.int64]
    bounds: tuple[Bounds, ...]

    @property
    def greatest_change(self) -> tuple[Bounds, float, float]:
        """The cell whose share changed most, with its share of the first sample and of the second."""
        shares = self.p / self.p.sum(), self.q / self.q.sum()
        place = int(np.argmax(np.abs(shares[1] - shares[0])))
        return self.bounds[place], float(shares[0][place]), float(shares[1][place])


def find_edges(training: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the edges of the cells of a column with an order: each reaches up to its edge, and has it.

    Ten cells of about as many rows of the first sample each, one below the first edge, and one above all.

    Args:
        training: Values of the first sample, none missing, at least one.
    """
    shares = np.arange(1, _CELLS + 1) / _CELLS
    inner = np.quantile(training, shares, method="inverted_cdf")
    edges: npt.NDArray[np.float64] = np.unique([np.nextafter(training.min(), -np.inf), *inner])
    return edges


def divide(training: npt.NDArray[np.float64], other: npt.NDArray[np.float64], *, is_ordered: bool) -> Cells:
    """Count both samples in the same cells, leaving out the cells that are empty in both.

    Args:
        training: Values of the first sample, none missing, at least one.
        other: Values of the second, none missing.
        is_ordered: Ten cells of about as many of the first sample's rows each, and one beyond either extreme;
            or else a cell a value.
    """
    if is_ordered:
        edges = find_edges(training)
        bounds = list(itertools.pairwise([-math.inf, training.min().item(), *edges[1:].tolist(), math.inf]))
    else:
        edges = np.unique(np.concatenate([training, other]))
        bounds = [(code, code) for code in edges.tolist()]
    cells = [np.searchsorted(edges, values) for values in (training, other)]
    p, q = (np.bincount(place, minlength=len(bounds)) for place in cells)
    is_used = (p + q) > 0
    return Cells(p[is_used], q[is_used], tuple(itertools.compress(bounds, is_used)))


def divide_with_missing(
    training: npt.NDArray[np.float64], other: npt.NDArray[np.float64], *, is_ordered: bool
) -> Cells | None:
    """Count both samples in the same cells, rows without a value in one of their own.

    Args:
        training: Values of the first sample; NaN is missing.
        other: Values of the second.
        is_ordered: Whether they have an order.

    Returns:
        The cells; `None` where a sample has no row, or neither has a value.
    """
    missing = [int(np.isnan(values).sum()) for values in (training, other)]
    present = [values[~np.isnan(values)] for values in (training, other)]
    if not len(training) or not len(other) or not any(map(len, present)):
        return None
    if len(present[0]):
        cells = divide(present[0], present[1], is_ordered=is_ordered)
    else:
        # There is no value to make cells of; that there are any now is the change.
        every = (present[1].min().item(), present[1].max().item())
        cells = Cells(np.array([0]), np.array([len(present[1])]), (every,))
    if not any(missing):
        return cells
    p, q = (np.append(counts, rows) for counts, rows in zip((cells.p, cells.q), missing, strict=True))
    return Cells(p, q, (*cells.bounds, MISSING))


def name_cell(bounds: Bounds) -> str:
    """Say which numbers a cell holds."""
    low, high = bounds
    if math.isnan(low):
        return "rows without a value"
    if low == high:
        return f"{high:.4g}"
    if not math.isfinite(low):
        return f"less than {high:.4g}"
    return f"more than {low:.4g}" if not math.isfinite(high) else f"{low:.4g} to {high:.4g}"


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
