"""How far probabilities are from what comes true.

Rows are put into groups of about equally many by rising probability; in each the mean probability is held
against the share that came true. A share of few rows is off by chance, and the square of that is taken away
again, so that a calibrated model of a small test set is not called a bad one.

Source:
    Kumar, Liang & Ma (2019), Verified uncertainty calibration, NeurIPS, section 5 (the debiased estimator).
"""

from __future__ import annotations

import numpy as np

from components.evaluate_model.task_metrics import Truth
from components.evaluate_model.weightings import Floats
from mulgil.artifacts import Check
from mulgil.contract import Task

# As calibration is commonly shown, and fewer where a group would have less than about ten rows.
_MOST_GROUPS = 10
_ROWS_IN_A_GROUP = 10


def measure_calibration_error(task: Task, target: Truth, predicted: Floats) -> float | None:
    """Compute it, of several classes or labels the root of the mean square.

    Returns:
        The error; `None` of a number, or of too few rows to tell.
    """
    if not task.is_classification or len(target) < 2 * _ROWS_IN_A_GROUP:
        return None
    if task is Task.MULTICLASS_CLASSIFICATION:
        truth = target[:, None] == np.arange(predicted.shape[1])
    else:
        truth = target.reshape(len(target), -1)
    columns = zip(truth.T.astype(np.float64), predicted.reshape(len(target), -1).T, strict=True)
    return float(np.sqrt(max(0.0, np.mean([_square(*column) for column in columns]))))


def check_calibration(error: float | None, limit: float) -> Check:
    """Hold the error against what the project allows."""
    if error is None:
        reason = "the test rows are too few to tell how far probabilities are from what comes true"
        return Check(name="calibration", is_passed=False, limit=limit, reason=reason)
    reason = f"probabilities are {error:.3f} from what comes true; asked for: at most {limit:g}"
    return Check(name="calibration", is_passed=error <= limit, value=error, limit=limit, reason=reason)


def _square(truth: Floats, probability: Floats) -> float:
    groups = max(1, min(_MOST_GROUPS, len(truth) // _ROWS_IN_A_GROUP))
    order = np.argsort(probability, kind="stable")
    total = 0.0
    for rows in np.array_split(order, groups):
        share = truth[rows].mean()
        by_chance = share * (1 - share) / (len(rows) - 1)
        total += len(rows) / len(truth) * ((share - probability[rows].mean()) ** 2 - by_chance)
    return total
