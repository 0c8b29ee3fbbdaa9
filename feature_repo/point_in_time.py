"""Which row of a history was known at a time: the point-in-time join, of numbers alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Integers = npt.NDArray[np.int64]

# Where an entity is not known, or nothing was known of it yet.
NONE = -1
# The first time there can be.
_LEAST = int(np.iinfo(np.int64).min)
# A code that stands for no entity.
_NOBODY = _LEAST
# Rows and questions that are sorted at once, of some hundred bytes each while they are. Chosen by eye.
_PART_ROWS = 1 << 21
# Spreads the codes of entities over the parts, whatever numbers they are: 2**64 over the golden ratio.
# Source: D. E. Knuth, The Art of Computer Programming, vol. 3, 6.4.
_SPREAD = np.uint64(0x9E3779B97F4A7C15)


def find_known(
    asked: Sequence[pa.ChunkedArray],
    asked_at: Integers,
    history: Sequence[pa.ChunkedArray],
    known_at: Integers,
    *,
    created_at: Integers | None = None,
    greatest_age: int | None = None,
) -> Integers:
    """Find for each entity and time the latest row of it that was known then.

    Args:
        asked: The entities' join keys, a column each.
        asked_at: The times.
        history: The same columns of the rows that there are, of the same types.
        known_at: From when on each row is known, its very time included. Of several of one entity and time
            the one that was created last counts, and of those the last one.
        created_at: When each row was written down, where that is kept.
        greatest_age: An older row counts as none.

    Returns:
        For each that was asked for a place in the history, `NONE` where there is none.

    Units:
        Times and ages in one unit, such as microseconds.
    """
    asked_codes, codes = _encode(asked, history, rows=(len(asked_at), len(known_at)))
    found = np.full(len(asked_at), NONE, dtype=np.int64)
    for questions, rows in _divide(asked_codes, codes):
        places = _find_among(
            asked_codes[questions],
            asked_at[questions],
            codes[rows],
            known_at[rows],
            None if created_at is None else created_at[rows],
            greatest_age,
        )
        found[questions] = np.where(places == NONE, NONE, rows[places] if len(rows) else NONE)
    return found


def find_latest(
    keys: Sequence[pa.ChunkedArray], known_at: Integers, *, created_at: Integers | None = None
) -> Integers:
    """Find the latest row of each entity, as `find_known` would at the end of all times.

    Args:
        keys: The entities' join keys, a column each; where one is missing, the row is of no entity.
        known_at: From when on each row is known.
        created_at: When each row was written down, where that is kept.

    Returns:
        Places of rows, ascending.
    """
    [codes] = _encode(keys, rows=(len(known_at),))
    found = []
    for [rows] in _divide(codes):
        rows = rows[codes[rows] != _NOBODY]
        written = rows if created_at is None else rows[np.argsort(created_at[rows], kind="stable")]
        order = np.lexsort((known_at[written], codes[written]))
        in_order = codes[written][order]
        is_last = np.append(in_order[1:] != in_order[:-1], True) if len(order) else np.empty(0, bool)
        found.append(written[order[is_last]])
    return np.sort(np.concatenate(found))


def count_repeated(keys: Sequence[pa.ChunkedArray], known_at: Integers) -> int:
    """Count the rows too many where an entity has several at one time; a missing key counts as an entity."""
    [codes] = _encode(keys, rows=(len(known_at),))
    repeated = 0
    for [rows] in _divide(codes):
        order = np.lexsort((known_at[rows], codes[rows]))
        of, at = codes[rows][order], known_at[rows][order]
        repeated += int(np.count_nonzero((of[1:] == of[:-1]) & (at[1:] == at[:-1])))
    return repeated


def _find_among(
    asked_codes: Integers,
    asked_at: Integers,
    codes: Integers,
    known_at: Integers,
    created_at: Integers | None,
    greatest_age: int | None,
) -> Integers:
    # A stable sort keeps what was created later behind.
    written = np.arange(len(known_at)) if created_at is None else np.argsort(created_at, kind="stable")
    # Rows stand before questions, and so they do among those of one entity and time.
    all_codes = np.concatenate([codes[written], asked_codes])
    all_times = np.concatenate([known_at[written], asked_at])
    order = np.lexsort((all_times, all_codes))
    is_row = order < len(known_at)
    last_row = np.maximum.accumulate(np.where(is_row, np.arange(len(order)), NONE))
    questions = np.flatnonzero(~is_row)
    before = last_row[questions]
    found = np.full(len(asked_at), NONE, dtype=np.int64)
    # Without any row the first place stands for none, and its code is nobody's.
    candidate = order[np.maximum(before, 0)]
    question = order[questions]
    is_known = (
        (before != NONE) & (all_codes[candidate] == all_codes[question]) & (all_codes[question] != _NOBODY)
    )
    if greatest_age is not None:
        # Compared so that no difference of two times can be too great for an integer.
        is_known &= (
            all_times[candidate] >= np.maximum(all_times[question], _LEAST + greatest_age) - greatest_age
        )
    found[question[is_known] - len(known_at)] = written[candidate[is_known]]
    return found


def _divide(*codes: Integers) -> Iterator[tuple[Integers, ...]]:
    """Give places of entities' rows, those of one entity on every side together, so many that they sort."""
    bits = max(0, (sum(map(len, codes)) // _PART_ROWS).bit_length())
    if not bits:
        yield tuple(np.arange(len(one)) for one in codes)
        return
    bits = min(bits, 8)
    part_of = [((one.view(np.uint64) * _SPREAD) >> np.uint64(64 - bits)).astype(np.uint8) for one in codes]
    for part in range(1 << bits):
        yield tuple(np.flatnonzero(one == part) for one in part_of)


def _encode(*sides: Sequence[pa.ChunkedArray], rows: Sequence[int]) -> list[Integers]:
    """Return a number for each entity, the same on all sides, and `_NOBODY` where a key is missing.

    Args:
        sides: Columns of keys; an entity that the last side has not is nobody, too.
        rows: Of each side.
    """
    if all(_are_codes(keys) for keys in sides):
        return [side[0].to_numpy() for side in sides]
    codes = [np.zeros(count, dtype=np.int64) for count in rows]
    for place, columns in enumerate(zip(*sides, strict=True)):
        values = pc.unique(columns[-1])
        found = [
            pc.fill_null(
                pc.index_in(keys, value_set=values, skip_nulls=True).cast(pa.int64()), _NOBODY
            ).to_numpy()
            for keys in columns
        ]
        codes = found if place == 0 else _combine(codes, found, len(values))
    return codes


def _are_codes(keys: Sequence[pa.ChunkedArray]) -> bool:
    """Whether an entity's key is a number that can stand for it."""
    if len(keys) != 1 or keys[0].type != pa.int64() or keys[0].null_count:
        return False
    least = pc.min(keys[0]).as_py()
    return least is None or least != _NOBODY


def _combine(codes: Sequence[Integers], more: Sequence[Integers], count: int) -> list[Integers]:
    """Number the pairs of two codes densely, so that no number of keys leads beyond an integer."""
    pairs = [
        np.where((ours == _NOBODY) | (theirs == _NOBODY), _NOBODY, ours * count + theirs)
        for ours, theirs in zip(codes, more, strict=True)
    ]
    known = np.unique(pairs[-1])
    known = known[known != _NOBODY]
    return [
        np.where(np.isin(part, known), np.searchsorted(known, part).astype(np.int64), np.int64(_NOBODY))
        for part in pairs
    ]
