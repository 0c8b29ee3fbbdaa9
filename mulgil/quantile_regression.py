"""Which rows a quantile regression is fitted on: it is a linear program, and of many rows it takes part."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

# What the program takes grows with the square of its rows and with its columns: 5,000 rows of 20 numbers took
# 1.8 s, 2,500 of 100 numbers 2.1 s, and 5,000 of 300 numbers more than a minute.
_MOST_ROWS = 5_000
_MOST_NUMBERS = 200_000


def choose_rows(rows: int, width: int) -> npt.NDArray[np.intp]:
    """Choose rows evenly, all where there are no more than the program takes.

    Args:
        rows: How many there are.
        width: How many numbers each has, encoded.

    Returns:
        Their places, ascending.
    """
    most = min(rows, _MOST_ROWS, max(1, _MOST_NUMBERS // max(1, width)))
    return np.linspace(0, rows - 1, most).astype(np.intp)
