"""Which rows are drawn, where there are more of them than may be looked at."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Places = npt.NDArray[np.intp]

# A split has as many of each class, or it is refused; so has what is drawn of it.
LEAST_OF_CLASS = 2


def draw_places(
    rows: int,
    count: int,
    seed: int,
    classes: npt.NDArray[np.intp] | None = None,
    of_class: int = LEAST_OF_CLASS,
) -> Places:
    """Draw rows by lot, and of a class that the lot leaves short as many as are wanted in place of others.

    Args:
        rows: How many there are.
        count: How many are drawn, at most.
        seed: Of the draw.
        classes: Each row's class, where they have one.
        of_class: How many of each are wanted, where there are so many and as far as all classes have them.

    Returns:
        Their places, ascending.
    """
    if count >= rows:
        return np.arange(rows)
    random = np.random.default_rng(seed)
    drawn = random.choice(rows, count, replace=False, shuffle=False)
    if classes is not None:
        drawn = _top_up(drawn, classes, of_class, random)
    return np.sort(drawn)


def _top_up(
    drawn: Places, classes: npt.NDArray[np.intp], of_class: int, random: np.random.Generator
) -> Places:
    there = np.bincount(classes)
    wanted = np.minimum(there, min(of_class, len(drawn) // int(np.count_nonzero(there))))
    short = wanted - np.bincount(classes[drawn], minlength=len(there))
    more = [
        random.permutation(np.setdiff1d(np.flatnonzero(classes == code), drawn))[: short[code]]
        for code in np.flatnonzero(short > 0)
    ]
    if not more:
        return drawn
    # Those that a class is short of come first, and of the others those that came last go.
    drawn = np.concatenate([*more, random.permutation(drawn)])
    is_spare = _count_before(classes[drawn]) >= wanted[classes[drawn]]
    return drawn[np.argsort(is_spare, kind="stable")][: len(drawn) - sum(map(len, more))]


def _count_before(classes: npt.NDArray[np.intp]) -> Places:
    """Return how many of its own class stand before each row."""
    order = np.argsort(classes, kind="stable")
    counts = np.bincount(classes)
    before = np.empty(len(classes), np.intp)
    before[order] = np.arange(len(classes)) - np.repeat(np.cumsum(counts) - counts, counts)
    return before
