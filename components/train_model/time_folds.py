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
    folds: int, moments: Moments, classes: npt.NDArray[np.intp] | None, least: int = _LEAST_FOLDS
) -> list[tuple[Places, Places]]:
    """Divide rows into what is fitted on and what is held out, fold by fold, the earliest first.

    Where most rows are of few moments, or a class is first seen late, the moments that may begin a fold are
    shared out in place of the rows.

    Args:
        folds: How many, or as many as there are rows and times for. A fold before every class was seen is
            none.
        moments: When each row is of, in microseconds since 1970.
        classes: Each row's class, from 0; `None` where there are none.
        least: Fewer folds are refused.

    Raises:
        InputError: There are too few times, or too few after every class was seen.

    Shapes:
        moments, classes: (rows,).
    """
    order = np.argsort(moments, kind="stable")
    in_order = moments[order]
    # All rows of a moment go with the first of them.
    cuts = np.flatnonzero(np.diff(in_order)) + 1
    cuts = cuts[cuts >= _LEAST_ROWS]
    seen = 0 if classes is None else _first_rows(classes[order]).max()
    late = cuts[cuts > seen]
    if not _can_begin(late, len(moments), least):
        raise _refuse(in_order, cuts, late, classes if classes is None else classes[order], least)
    # What is fitted on is divided again, to stop a fit or to choose features: that takes a cut before it.
    roomy = late[late >= late[0] + _LEAST_ROWS]
    allowed = roomy if len(roomy) >= least else late
    folds = min(folds, len(moments) // _LEAST_ROWS - 1)
    starts = np.array([held_out[0] for _, held_out in _split_rows(folds, in_order)], np.intp)
    starts = np.intersect1d(np.searchsorted(in_order, in_order[starts]), allowed)
    if len(starts) < least:
        starts = np.array([part[0] for part in np.array_split(allowed, min(folds, len(allowed)))])
    return [
        (order[:start], order[start:end])
        for start, end in zip(starts, [*starts[1:], len(order)], strict=True)
    ]


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


def _split_rows(folds: int, in_order: Moments) -> list[tuple[Places, Places]]:
    if folds < _LEAST_FOLDS:
        # scikit-learn makes no fewer.
        return []
    return list(TimeSeriesSplit(folds).split(in_order))


def _can_begin(cuts: Places, rows: int, least: int) -> bool:
    """Whether folds can begin at so many places, with enough rows before and after the first of them."""
    return len(cuts) >= least and rows - int(cuts[0]) >= _LEAST_ROWS and rows >= _LEAST_ROWS * (least + 1)


def _first_rows(classes: npt.NDArray[np.intp]) -> Places:
    """Return the place of each class's first row, in the order of the classes."""
    return np.unique(classes, return_index=True)[1]


def _refuse(
    in_order: Moments, cuts: Places, late: Places, classes: npt.NDArray[np.intp] | None, least: int
) -> InputError:
    """Say what is missing: rows and times, or only a class among the earlier ones."""
    if classes is None or not _can_begin(cuts, len(in_order), least):
        return InputError(
            describe(
                "There are too few times to divide the rows into folds by them",
                expected=(
                    f"{least + 1} times or more, {_LEAST_ROWS * (least + 1)} rows, and {_LEAST_ROWS} of them "
                    "to hold out"
                ),
                received=f"{len(np.unique(in_order))} different times in {len(in_order)} rows",
                next_step="bring rows of more times, or another `split.kind`",
            )
        )
    first = _first_rows(classes)
    place = int(first.max())
    name = np.unique(classes)[first.argmax()]
    moment = np.datetime_as_string(np.datetime64(int(in_order[place]), "us"), unit="s")
    return InputError(
        describe(
            "A class is seen too late to hold out rows after it",
            expected=f"{least} times or more after the first row of every class",
            received=(
                f"class {name}, counted from 0 in the order of the target's categories, is first seen at "
                f"{moment}Z, in row {place + 1} of {len(in_order)} by time, with {len(late)} times after it"
            ),
            next_step="bring later rows, leave that class out, or choose another `split.kind`",
        )
    )
