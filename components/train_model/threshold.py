"""Choosing the threshold of a yes on validation rows that the probabilities' model has not seen.

Source:
    Elkan (2001), The foundations of cost-sensitive learning, IJCAI: of calibrated probabilities the cheapest
    threshold is c_fp / (c_fp + c_fn); these need not be calibrated, so the rows' own costs are counted.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mulgil.artifacts import DecisionRule, ThresholdPoint
from mulgil.contract.decision import Decision

# What the page shows: every hundredth.
_SHOWN = 101

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]


def choose_threshold(decision: Decision, target: Booleans, probability: Floats) -> DecisionRule:
    """Choose.

    Args:
        decision: By what.
        target: The truth, with both answers.
        probability: What a model gave that was not fitted on these rows.

    Returns:
        The rule, with what every threshold would have done here.

    Shapes:
        (rows,) each.
    """
    probability = probability.astype(np.float64)
    distinct = np.unique(probability)
    # Between two probabilities every threshold does the same; the middle is farthest from both.
    candidates = np.concatenate([[0.0], (distinct[1:] + distinct[:-1]) / 2, [np.nextafter(1.0, 2.0)]])
    found, alarms = _count(target, probability, candidates)
    yes, no = int(target.sum()), int((~target).sum())
    place, is_met, words = _choose(decision, candidates, found, alarms, yes, no)
    shown = np.linspace(0, 1, _SHOWN)
    found, alarms = _count(target, probability, shown)
    return DecisionRule(
        threshold=float(candidates[place]),
        rule=words,
        is_met=is_met,
        false_positive_cost=decision.false_positive_cost,
        false_negative_cost=decision.false_negative_cost,
        unit=decision.unit,
        rows=len(target),
        points=tuple(
            ThresholdPoint(
                threshold=round(float(threshold), 2),
                false_positives=int(wrong),
                false_negatives=yes - int(right),
                true_positives=int(right),
                true_negatives=no - int(wrong),
            )
            for threshold, right, wrong in zip(shown, found, alarms, strict=True)
        ),
    )


def _count(
    target: Booleans, probability: Floats, thresholds: Floats
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return how many yeses are found, and how many noes are called a yes, at each threshold."""
    yes, no = np.sort(probability[target]), np.sort(probability[~target])
    return (
        len(yes) - np.searchsorted(yes, thresholds, side="left"),
        len(no) - np.searchsorted(no, thresholds, side="left"),
    )


def _choose(
    decision: Decision,
    candidates: Floats,
    found: npt.NDArray[np.intp],
    alarms: npt.NDArray[np.intp],
    yes: int,
    no: int,
) -> tuple[int, bool, str]:
    """Return the place of the threshold, whether what was asked for holds there, and the rule in words."""
    if decision.false_positive_cost is not None and decision.false_negative_cost is not None:
        wrong, missed = decision.false_positive_cost, decision.false_negative_cost
        cost = alarms * wrong + (yes - found) * missed
        cheapest = np.flatnonzero(cost == cost.min())
        # Of equally cheap ones that which calibrated probabilities would have.
        place = cheapest[np.abs(candidates[cheapest] - wrong / (wrong + missed)).argmin()]
        unit = f" {decision.unit}" if decision.unit else ""
        return int(place), True, f"least cost, {wrong:g}{unit} a false alarm and {missed:g}{unit} a miss"
    if decision.least_recall is not None:
        # The highest threshold that finds enough; the lowest finds all.
        holds = np.flatnonzero(found >= decision.least_recall * yes)
        return int(holds[-1]), True, f"recall of at least {decision.least_recall:g}"
    if decision.greatest_false_positive_rate is not None:
        # The lowest threshold that calls few enough; the highest calls none.
        holds = np.flatnonzero(alarms <= decision.greatest_false_positive_rate * no)
        return (
            int(holds[0]),
            True,
            f"false positive rate of at most {decision.greatest_false_positive_rate:g}",
        )
    assert decision.least_precision is not None
    words = f"precision of at least {decision.least_precision:g}"
    called = found + alarms
    precision = np.where(called > 0, found / np.maximum(called, 1), 0.0)
    holds = np.flatnonzero(precision >= decision.least_precision)
    return (int(holds[0]), True, words) if len(holds) else (int(precision.argmax()), False, words)
