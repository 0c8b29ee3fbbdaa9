"""Dividing rows that have labels: each split gets its share of every label, however rare it is.

What a common set of labels has in whole rows for each split is dealt at once. Rows of rare sets, and those
that are left over, go one by one to the split that wants them most for the rarest of their labels.

Source:
    Sechidis, Tsoumakas & Vlahavas (2011), On the stratification of multi-label data, ECML PKDD (iterative
    stratification).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mulgil.artifacts import SPLITS
from mulgil.contract import Column
from mulgil.contract.sources import Split
from mulgil.errors import InputError, describe

Places = npt.NDArray[np.int64]

# Of each answer to a label, in each split, as the steps that learn and judge ask for.
_LEAST_ROWS = 2
# A share of rows that is a whole number but for the last digit is that number.
_ROUNDING, _DIGITS = 1e-9, 9


def has_rare_sets(targets: Sequence[pa.Array], split: Split) -> bool:
    """Return whether some set of labels has too few rows to be divided by itself."""
    _, rows = np.unique(_codes(_marks(targets)), return_counts=True)
    return bool(_is_rare(rows, _ratios(split)).any())


def draw_by_labels(targets: Sequence[pa.Array], split: Split) -> dict[str, Places]:
    """Draw each row's split.

    Args:
        targets: The labels, yes or no, an array a label.
        split: Shares and seed.

    Returns:
        Places of the rows by split, each in the order of the source.
    """
    marks = _marks(targets)
    # The rarer answer is what there may be too little of.
    marks ^= marks.mean(axis=0) > 0.5
    ratios = _ratios(split)
    _, firsts, set_of, rows_of = np.unique(
        _codes(marks), return_index=True, return_inverse=True, return_counts=True
    )
    sets = marks[firsts]
    wanted = _want(sets, rows_of, ratios)
    dealt = np.floor(np.outer(rows_of, ratios) + _ROUNDING).astype(np.int64)
    dealt[_is_rare(rows_of, ratios)] = 0
    left = rows_of - dealt.sum(axis=1)
    wanted_rows = ratios * len(marks) - dealt.sum(axis=0)
    wanted = wanted - dealt.T @ sets
    # The rarest label first; those rows that have none of it go where most rows are wanted.
    for label in [*np.argsort(sets.T @ left, kind="stable"), None]:
        for place in np.flatnonzero(left if label is None else left * sets[:, label]):
            while left[place]:
                need = wanted_rows if label is None else wanted[:, label]
                # Of its share: by rows, the first sets would all go to the largest split.
                to = np.lexsort([-np.round(rows / ratios, _DIGITS) for rows in (wanted_rows, need)])[0]
                dealt[place, to] += 1
                left[place] -= 1
                wanted_rows[to] -= 1
                wanted[to] -= sets[place]
    return _draw(set_of.ravel(), dealt, split.seed)


def require_labels(columns: Sequence[Column], targets: Sequence[pa.Array], places: dict[str, Places]) -> None:
    """Refuse splits of which one cannot learn or judge a label.

    Raises:
        InputError: A split has too few rows that say yes to a label, or no.
    """
    marks = _marks(targets)
    lacking = []
    for column, mark in zip(columns, marks.T, strict=True):
        yes = {name: int(mark[places[name]].sum()) for name in SPLITS}
        no = {name: len(places[name]) - yes[name] for name in SPLITS}
        for answer, rows in (("yes", yes), ("no", no)):
            if min(rows.values()) < _LEAST_ROWS:
                counted = ", ".join(f"{rows[name]} in {name}" for name in SPLITS)
                lacking.append(f"{column.name} {answer}: {counted}")
    if lacking:
        raise InputError(
            describe(
                "There are too few rows of a label to split",
                expected=f"at least {_LEAST_ROWS} rows of each answer to each label in each split",
                received="; ".join(lacking),
                next_step="give more rows, or the label the role ignore; kind: stratified keeps rare labels "
                "in every split as far as there are enough of them",
            )
        )


def _marks(targets: Sequence[pa.Array]) -> npt.NDArray[np.bool_]:
    return np.stack(
        [np.asarray(target.to_numpy(zero_copy_only=False), np.bool_) for target in targets], axis=1
    )


def _codes(marks: npt.NDArray[np.bool_]) -> npt.NDArray[np.void]:
    """Return each row's set of labels as one value."""
    packed = np.ascontiguousarray(np.packbits(marks, axis=1))
    return packed.view(np.dtype((np.void, packed.shape[1]))).ravel()


def _want(
    sets: npt.NDArray[np.bool_], rows_of: npt.NDArray[np.int64], ratios: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return how many rows of each label each split wants: its share, and no fewer than it has to have."""
    rows = sets.T @ rows_of
    wanted = np.outer(ratios, rows)
    is_enough = rows >= _LEAST_ROWS * len(ratios)
    wanted[:, is_enough] = np.maximum(wanted[:, is_enough], _LEAST_ROWS)
    # The largest split has what the others leave of it.
    largest = ratios.argmax()
    wanted[largest] += rows - wanted.sum(axis=0)
    return wanted


def _ratios(split: Split) -> npt.NDArray[np.float64]:
    """Return the share of each of `SPLITS`."""
    train = 1 - split.test_ratio - split.validation_ratio
    return np.array([train, split.validation_ratio, split.test_ratio])


def _is_rare(rows: npt.NDArray[np.int64], ratios: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Return whether so many rows have too few for some split."""
    return rows * ratios.min() + _ROUNDING < _LEAST_ROWS


def _draw(set_of: npt.NDArray[np.int64], dealt: npt.NDArray[np.int64], seed: int) -> dict[str, Places]:
    """Draw which of the rows of each set go to which split."""
    order = np.random.default_rng(seed).permutation(len(set_of))
    order = order[np.argsort(set_of[order], kind="stable")]
    splits = np.concatenate([np.repeat(np.arange(len(SPLITS)), of_set) for of_set in dealt])
    return {name: np.sort(order[splits == place]).astype(np.int64) for place, name in enumerate(SPLITS)}
