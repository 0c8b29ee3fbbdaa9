"""What calling a yes from each probability on would have done: for those who bear what mistakes cost."""

from __future__ import annotations

from mulgil.artifacts import DecisionRule, ThresholdPoint
from mulgil.reports.charts import Axis, Line, axis_around, draw_lines
from mulgil.reports.figures import Figure
from mulgil.reports.page import format_number

# Every tenth threshold stands in the table.
_STEP = 10


def draw_decision(decision: DecisionRule) -> list[Figure]:
    """Draw mistakes, and where they have a price their cost, over the threshold."""
    x = Axis(0, 1, "a yes is called from this probability on")
    alarms = [(point.threshold, _per_thousand(point.false_positives, decision)) for point in decision.points]
    misses = [(point.threshold, _per_thousand(point.false_negatives, decision)) for point in decision.points]
    figures = [
        Figure(
            title="Mistakes",
            note="of 1,000 cases; false alarms fall and misses rise",
            picture=draw_lines(
                "Mistakes by threshold",
                "False alarms and misses of 1,000 cases at every threshold; the upright line is that taken.",
                [Line("misses", "c-yes", misses), Line("false alarms", "c-no", alarms)],
                x=x,
                y=axis_around(value for _, value in [*alarms, *misses]),
                marked_x=decision.threshold,
            ),
            head=("from", "found", "missed", "false alarms", "rightly left alone"),
            body=tuple(
                (
                    f"{point.threshold:g}",
                    *(
                        format_number(round(_per_thousand(count, decision)))
                        for count in (
                            point.true_positives,
                            point.false_negatives,
                            point.false_positives,
                            point.true_negatives,
                        )
                    ),
                )
                for point in decision.points[::_STEP]
            ),
        )
    ]
    costs = [(point.threshold, cost_of(point, decision)) for point in decision.points]
    priced = [(threshold, cost) for threshold, cost in costs if cost is not None]
    if priced:
        unit = f" in {decision.unit}" if decision.unit else ""
        figures.append(
            Figure(
                title="Cost",
                note=f"of 1,000 cases{unit}: {decision.rule}",
                picture=draw_lines(
                    "Cost by threshold",
                    f"Cost of 1,000 cases{unit} at every threshold; the upright line is the one taken.",
                    [Line("cost", "c-model", priced)],
                    x=x,
                    y=axis_around(cost for _, cost in priced),
                    marked_x=decision.threshold,
                ),
                head=("from", f"cost{unit}"),
                body=tuple(
                    (f"{threshold:g}", format_number(round(cost))) for threshold, cost in priced[::_STEP]
                ),
            )
        )
    return figures


def cost_of(point: ThresholdPoint, decision: DecisionRule) -> float | None:
    """Return what 1,000 cases cost at a threshold; `None` where mistakes have no price."""
    if decision.false_positive_cost is None or decision.false_negative_cost is None:
        return None
    return _per_thousand(
        point.false_positives * decision.false_positive_cost
        + point.false_negatives * decision.false_negative_cost,
        decision,
    )


def _per_thousand(count: float, decision: DecisionRule) -> float:
    return 1000 * count / decision.rows
