"""Whether there is enough to learn from and to judge by, at the very least."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mulgil.artifacts import Check
from mulgil.contract import Column, ColumnType


def judge_rows(name: str, split: str, target: Column, answers: npt.NDArray[np.float64]) -> Check:
    """Ask of a split whether it has rows with each answer; without them no metric is defined on it.

    Args:
        name: Of the check.
        split: Its name.
        target: What is predicted.
        answers: Its values; a code is a number of its own, and NaN is missing.
    """
    found, counts = np.unique(answers[~np.isnan(answers)], return_counts=True)
    if target.type is ColumnType.BOOLEAN:
        yes, no = (int(counts[found == answer].sum()) for answer in (1, 0))
        least, limit = min(yes, no), 1
        reason = f"rows with each answer of the target; received {yes} true and {no} false"
    elif target.type is ColumnType.CATEGORY:
        least, limit = len(found), len(target.categories or ())
        reason = f"rows of each of the target's {limit} categories; received {least} of them"
    else:
        least, limit = len(found), 2
        reason = f"a target that varies; received {least} different values"
    return Check(
        name=name,
        is_passed=least >= limit,
        value=least,
        limit=limit,
        reason=f"{split}: expected {reason}",
    )
