"""Folds of rows that have a time: what is held out comes after everything that is fitted on.

The folds are those of scikit-learn's `TimeSeriesSplit` over the rows in the order of their times: the first
part is only fitted on, and each later part is held out once, with all before it to fit on. Rows of one moment
are never on both sides, as what is known of some of them is known of all.

Source:
    Hyndman & Athanasopoulos (2021), Forecasting: principles and practice, third edition, section 5.10 (a
    rolling origin); Bergmeir & Benítez (2012), On the use of cross-validation for time series predictor
    evaluation, Information Sciences 191.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import TimeSeriesSplit

from mulgil.errors import InputError, describe

Places = npt.NDArray[np.intp]
Moments = npt.NDArray[np.int64]

# As many as make a spread.
_LEAST_FOLDS = 2
# A row alone has no variance that could be told.
_LEAST_ROWS = 2


def divide_by_time(
    folds: int, moments: Moments, classes: npt.NDArray[np.intp] | None
) -> list[tuple[Places, Places]]:
    """Divide rows into what is fitted on and what is held out, fold by fold, the earliest first.

    Args:
        folds: How many, or as many as there are rows and times for. A fold before every class was seen is
            none.
        moments: When each row is of.
        classes: Each row's class, from 0; `None` where there are none.

    Raises:
        InputError: There are too few times for two folds.

    Shapes:
        moments, classes: (rows,).
    """
    order = np.argsort(moments, kind="stable")
    in_order = moments[order]
    parts: list[tuple[Places, Places]] = []
    folds = min(folds, len(moments) // _LEAST_ROWS - 1)
    if folds >= _LEAST_FOLDS:
        starts = [int(held_out[0]) for _, held_out in TimeSeriesSplit(folds).split(in_order)]
        # All rows of a moment go with the first of them.
        starts = sorted({int(np.searchsorted(in_order, in_order[start])) for start in starts})
        parts = [
            (order[:start], order[start:end])
            for start, end in zip(starts, [*starts[1:], len(order)], strict=True)
            if start >= _LEAST_ROWS and _has_every_class(classes, order[:start])
        ]
    if len(parts) < _LEAST_FOLDS:
        raise InputError(
            describe(
                "There are too few times to divide the rows into folds by them",
                expected="two parts or more that come after others, with every class among those before them",
                received=f"{len(np.unique(moments))} different times in {len(moments)} rows",
                next_step="bring rows of more times, or another `split.kind`",
            )
        )
    return parts


def split_latest(ratio: float, moments: Moments) -> tuple[Places, Places]:
    """Divide rows into those before a moment and those from it on, which are about such a share of them.

    Raises:
        InputError: All are of one moment.

    Shapes:
        moments: (rows,).
    """
    order = np.argsort(moments, kind="stable")
    in_order = moments[order]
    start = int(np.searchsorted(in_order, in_order[round((1 - ratio) * (len(order) - 1))]))
    if not start:
        # The first moment has most of the rows.
        start = int(np.searchsorted(in_order, in_order[0], side="right"))
    if start == len(order):
        raise InputError(
            describe(
                "There are too few times to stop a fit by the latest rows",
                expected="at least 2 among the rows that a model is fitted on",
                received=f"1 in {len(order)} rows",
                next_step="bring rows of more times, or another `split.kind`",
            )
        )
    return order[:start], order[start:]


def _has_every_class(classes: npt.NDArray[np.intp] | None, places: Places) -> bool:
    return classes is None or len(np.unique(classes[places])) == len(np.unique(classes))
