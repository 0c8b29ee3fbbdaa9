"""Which row of a history was known at a time: the point-in-time join, of numbers alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Integers = npt.NDArray[np.int64]

# Where an entity is not known, or nothing was known of it yet.
NONE = -1
# A code that stands for no entity.
_NOBODY = -1
# The first time there can be.
_LEAST = int(np.iinfo(np.int64).min)


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
        Times and ages in nanoseconds.
    """
    asked_codes, codes = _encode(asked, history, len(asked_at), len(known_at))
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


def _encode(
    asked: Sequence[pa.ChunkedArray], history: Sequence[pa.ChunkedArray], questions: int, rows: int
) -> tuple[Integers, Integers]:
    """Return a number for each entity, the same on both sides, and `_NOBODY` where a key is missing."""
    codes = np.zeros(questions, dtype=np.int64), np.zeros(rows, dtype=np.int64)
    for place, (left, right) in enumerate(zip(asked, history, strict=True)):
        values = pc.unique(right)
        found = tuple(
            pc.fill_null(pc.index_in(keys, value_set=values, skip_nulls=True), _NOBODY)
            .cast(pa.int64())
            .to_numpy()
            for keys in (left, right)
        )
        codes = found if place == 0 else _combine(codes, found, len(values))  # type: ignore[assignment]
    return codes


def _combine(
    codes: tuple[Integers, Integers], more: tuple[Integers, Integers], count: int
) -> tuple[Integers, Integers]:
    """Number the pairs of two codes densely, so that no number of keys leads beyond an integer."""
    pairs = [
        np.where((ours == _NOBODY) | (theirs == _NOBODY), _NOBODY, ours * count + theirs)
        for ours, theirs in zip(codes, more, strict=True)
    ]
    known = np.unique(pairs[1])
    known = known[known != _NOBODY]
    left, right = (
        np.where(np.isin(part, known), np.searchsorted(known, part).astype(np.int64), np.int64(_NOBODY))
        for part in pairs
    )
    return left, right
