"""Whether there is enough to learn from and to judge by, at the very least."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mulgil.artifacts import Check


def judge_rows(split: str, answers: npt.NDArray[np.float64]) -> Check:
    """Ask of a split whether it has rows with each answer; without both, no metric is defined on it.

    Args:
        split: Its name.
        answers: The target, 0 and 1; NaN is missing.
    """
    yes, no = int((answers == 1).sum()), int((answers == 0).sum())
    return Check(
        name=f"rows:{split}",
        is_passed=min(yes, no) > 0,
        value=min(yes, no),
        limit=1,
        reason=f"{split}: expected rows with each answer of the target; received {yes} true and {no} false",
    )
