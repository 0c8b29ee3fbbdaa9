"""A rollout as a page: each step, what was seen, the reason, and the requests that the new version served."""

from __future__ import annotations

import math

from markupsafe import Markup

from mulgil.reports.charts import Axis, Line, draw_lines
from mulgil.reports.page import open_templates
from mulgil.rollout.analysis import Finding, harm_bar
from mulgil.rollout.record import Phase, RolloutRecord

# Evidence beyond these ends of the picture says no more. By eye.
_LEAST, _GREATEST = -10.0, 15.0


def render_rollout_page(rollout: RolloutRecord) -> str:
    """Write a rollout as one HTML file that opens without a network."""
    return (
        open_templates()
        .get_template("rollout.html.jinja")
        .render(
            rollout=rollout,
            outcome=_OUTCOMES.get(rollout.phase, "is under way"),
            style={Phase.PROMOTED: "is-good", Phase.ROLLED_BACK: "is-bad"}.get(rollout.phase, "is-soft"),
            path=_draw_path(rollout),
            odds=_odds,
            share=_share,
        )
    )


_OUTCOMES = {
    Phase.PROMOTED: "promoted",
    Phase.ROLLED_BACK: "rolled back",
    Phase.PAUSED: "waits for a person",
}


def _draw_path(rollout: RolloutRecord) -> Markup | None:
    """Draw the evidence of harm over the minutes."""
    points = [
        ((at - rollout.created_at) / 60, min(max(log_harm, _LEAST), _GREATEST))
        for step in rollout.steps
        for at, log_harm in step.harm_path
    ]
    if len(points) < 2:
        return None
    bar = harm_bar(rollout.policy)
    last = max(points[-1][0], 1e-3)
    values = [value for _, value in points]
    return draw_lines(
        "Evidence of harm",
        f"From {values[0]:.1f} to {values[-1]:.1f}, where {bar:.1f} is the bar at which it is rolled back.",
        [
            Line("evidence of harm", "c-model", points),
            Line("the bar", "c-reference", [(points[0][0], bar), (last, bar)]),
        ],
        x=Axis(min(points[0][0], last - 1e-3), last, "minutes"),
        y=Axis(min([*values, -1.0]), max([*values, bar]) + 0.5, "evidence of harm (natural logarithm)"),
    )


def _odds(finding: Finding) -> str:
    """Say how strongly a finding speaks against a canary that is no worse."""
    if finding.log_harm <= 0:
        return "none"
    return f"{math.exp(min(finding.log_harm, 20)):,.0f} to 1"


def _share(events: float, requests: float) -> str:
    return f"{events / requests:.2%} of {requests:,.0f}" if requests else "nothing"
