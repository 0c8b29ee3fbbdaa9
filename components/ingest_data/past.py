"""Aggregates over an entity's past, of numbers alone: point in time, whatever the order of the rows.

A row's window holds the rows of its entity that became true before it, by no more than the window's length,
and that were known before it. A row never counts to its own past, and none of the same moment does.

In the order of time a window is a range of places, but for rows that came late. A range is folded by
doubling: what 1, 2, 4, … rows from each place on give is made of what half as many give, and each range takes
the powers of two that its length is the sum of. That takes n log n steps of numpy for any function that joins
two parts, and no difference of great sums, in which small values would be lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import numpy.typing as npt

from mulgil.contract.aggregates import Aggregate, AggregateFunction

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
# Arrays that say together what some rows give.
State = tuple[npt.NDArray[np.float64], ...]
Join = Callable[[State, State], State]

_MICROSECOND = timedelta(microseconds=1)
# Rows of windows that are written out at a time, where rows came late; it bounds memory. Chosen by eye.
_MOST_WRITTEN_OUT = 1 << 22


@dataclass(frozen=True)
class History:
    """Rows in any order.

    Attributes:
        entity: A number for each entity.
        time: When each row became true.
        created: When it was known; `None` where nothing says so, and each was at once.
        values: Columns by name, NaN where missing.

    Units:
        Microseconds.

    Shapes:
        (rows,) each.
    """

    entity: Integers
    time: Integers
    created: Integers | None
    values: Mapping[str, Floats]

    def __len__(self) -> int:
        return len(self.time)


@dataclass(frozen=True)
class _Windows:
    """Ranges of places, one a row: the places that follow each other in `taken` belong to it.

    Attributes:
        rows: The rows whose windows they are.
        taken: Places in the sorted history; `None` where the ranges are of the history itself.
        low: Where each begins.
        high: Where it ends, this place not included.
    """

    rows: Integers
    taken: Integers | None
    low: Integers
    high: Integers


def aggregate_past(history: History, aggregates: Mapping[str, Aggregate]) -> dict[str, Floats]:
    """Compute aggregates for every row.

    Args:
        history: The rows.
        aggregates: By the name of the column that they make.

    Returns:
        A number a row, NaN where its past has none.
    """
    written = history.time if history.created is None else history.created
    order = np.lexsort((written, history.time, history.entity))
    entity, time = history.entity[order], history.time[order]
    created = None if history.created is None else history.created[order]
    is_first = np.append(True, entity[1:] != entity[:-1]) if len(order) else np.empty(0, bool)
    start = np.maximum.accumulate(np.where(is_first, np.arange(len(order)), 0))
    results = {name: np.full(len(order), np.nan) for name in aggregates}
    for window in {aggregate.window for aggregate in aggregates.values()}:
        ranges = _find_windows(time, created, start, window // _MICROSECOND)
        for windows in ranges:
            for name, aggregate in aggregates.items():
                if aggregate.window == window:
                    values = (
                        np.zeros(len(order)) if aggregate.of is None else history.values[aggregate.of][order]
                    )
                    results[name][order[windows.rows]] = _aggregate(aggregate.function, values, windows)
    return results


def _find_windows(
    time: Integers, created: Integers | None, start: Integers, length: int
) -> Iterator[_Windows]:
    """Give the windows of sorted rows, those in which rows came late written out."""
    rows = np.arange(len(time))
    # Compared so that no difference of two times can be too great for an integer.
    begins = np.maximum(time, np.iinfo(np.int64).min + length) - length
    high = _first_not_before(time, start, rows, time)
    low = _first_not_before(time, start, high, begins)
    if created is None:
        yield _Windows(rows, None, low, high)
        return
    # Up to here everything was known; behind it mostly nothing was, as rows are known in the order of time.
    known = _first_not_before(_greatest_so_far(created, start), start, high, time)
    least = _fold((created.astype(np.float64),), np.minimum(known, high), high, _least, (np.inf,))[0]
    is_late = (least < time) & (np.maximum(low, known) < high)
    plain = np.flatnonzero(~is_late)
    yield _Windows(plain, None, low[plain], np.maximum(np.minimum(high, known), low)[plain])
    late = np.flatnonzero(is_late)
    ends = np.cumsum(high[late] - low[late])
    for part in np.split(
        late,
        np.searchsorted(ends, np.arange(_MOST_WRITTEN_OUT, ends[-1] if len(ends) else 0, _MOST_WRITTEN_OUT)),
    ):
        yield _write_out(part, low[part], high[part], time, created)


def _write_out(rows: Integers, low: Integers, high: Integers, time: Integers, created: Integers) -> _Windows:
    """Keep of each range what was known."""
    lengths = high - low
    owner = np.repeat(np.arange(len(rows)), lengths)
    places = (
        np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths) + np.repeat(low, lengths)
    )
    is_known = created[places] < time[rows][owner]
    counts = np.bincount(owner[is_known], minlength=len(rows))
    ends = np.cumsum(counts)
    return _Windows(rows, places[is_known], ends - counts, ends)


def _greatest_so_far(values: Integers, start: Integers) -> Integers:
    """Return the greatest value from each entity's first row on."""
    # Ranks, so that each entity's can be set apart from those of the one before.
    ranks = np.argsort(np.argsort(values, kind="stable"), kind="stable")
    so_far = np.maximum.accumulate(ranks + start * len(values)) - start * len(values)
    return np.sort(values)[so_far]


def _first_not_before(keys: Integers, low: Integers, high: Integers, bounds: Integers) -> Integers:
    """Return the first place of each range whose key is not less than a bound; the end where all are.

    Args:
        keys: Ascending within each range.
        low: Where the ranges begin.
        high: Where they end.
        bounds: One a range.
    """
    low, high = low.copy(), high.copy()
    while (is_open := low < high).any():
        middle = (low + high) // 2
        is_less = keys[np.minimum(middle, len(keys) - 1)] < bounds
        low = np.where(is_open & is_less, middle + 1, low)
        high = np.where(is_open & ~is_less, middle, high)
    return low


def _aggregate(function: AggregateFunction, values: Floats, windows: _Windows) -> Floats:
    values = values if windows.taken is None else values[windows.taken]
    is_there = ~np.isnan(values)
    low, high = windows.low, windows.high
    match function:
        case AggregateFunction.MIN:
            return _fold((values,), low, high, _least, (np.nan,))[0]
        case AggregateFunction.MAX:
            return _fold((values,), low, high, lambda one, other: (np.fmax(one[0], other[0]),), (np.nan,))[0]
        case AggregateFunction.LAST:
            places = np.where(is_there, np.arange(len(values), dtype=np.float64), np.nan)
            last = _fold((places,), low, high, lambda one, other: (np.fmax(one[0], other[0]),), (np.nan,))[0]
            found = values[np.where(np.isnan(last), 0, last).astype(np.int64)] if len(values) else last
            return np.where(np.isnan(last), np.nan, found)
    count = is_there.astype(np.float64)
    filled = np.where(is_there, values, 0.0)
    if function is AggregateFunction.STD:
        state = (count, filled, np.zeros(len(values)))
        count, _, squares = _fold(state, low, high, _join_moments, (0.0, 0.0, 0.0))
        with np.errstate(all="ignore"):
            return np.where(count > 1, np.sqrt(squares / (count - 1)), np.nan)
    count, total = _fold((count, filled), low, high, _add, (0.0, 0.0))
    if function is AggregateFunction.COUNT:
        return count
    with np.errstate(all="ignore"):
        result = total / count if function is AggregateFunction.MEAN else total
    return np.where(count > 0, result, np.nan)


def _fold(state: State, low: Integers, high: Integers, join: Join, nothing: Sequence[float]) -> State:
    """Join the states of each range's rows, in their order.

    Args:
        state: Of each row.
        low: Where the ranges begin.
        high: Where they end.
        join: Makes of the states of two parts that of both.
        nothing: The state of no row.
    """
    found = tuple(np.full(len(low), one) for one in nothing)
    place, length = low.copy(), high - low
    step = 1
    while (length >= step).any():
        takes = np.flatnonzero(length & step)
        joined = join(tuple(one[takes] for one in found), tuple(one[place[takes]] for one in state))
        for one, part in zip(found, joined, strict=True):
            one[takes] = part
        place[takes] += step
        # What twice as many rows give, where there are so many; no range asks for more.
        left = tuple(one[: max(0, len(one) - step)] for one in state)
        state = join(left, tuple(one[step:] for one in state))
        step *= 2
    return found


def _least(one: State, other: State) -> State:
    return (np.fmin(one[0], other[0]),)


def _add(one: State, other: State) -> State:
    return one[0] + other[0], one[1] + other[1]


def _join_moments(one: State, other: State) -> State:
    """Join counts, means and sums of squared differences from the mean.

    Source:
        Chan, Golub, LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances"
        (1979).
    """
    count = one[0] + other[0]
    apart = other[1] - one[1]
    share = other[0] / np.maximum(count, 1.0)
    mean = np.where(one[0] == 0, other[1], one[1] + apart * share)
    return count, mean, one[2] + other[2] + np.square(apart) * one[0] * share
