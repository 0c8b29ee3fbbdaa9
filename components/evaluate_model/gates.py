"""The decisions, as functions of the numbers alone.

Two comparisons are decided by the bounds of a paired bootstrap interval, never by two point values:

- Better than the baseline: the lower bound of the improvement lies above `baseline_margin`. The baseline
  gives every row the share of yes, so this asks whether anything was learned that the rows cannot have
  brought about by chance. Logistic regression is measured beside it but is no gate: on the sixty rows of a
  small table, a model just as good would fail such a gate every other time.
- No worse than the champion: the lower bound of the improvement is not below minus `champion_margin`. The
  burden of proof is the candidate's, since keeping the champion harms nobody; with the upper bound, the
  fewer the test rows the worse a candidate would pass.

Source:
    Walker & Nowacki (2011), Understanding equivalence and noninferiority testing, Journal of General
    Internal Medicine 26(2); ICH E9 (1998), section 3.3.2, for the one-sided bound of a two-sided interval.
"""

from __future__ import annotations

from mulgil.artifacts import Check, DecisionRule, Interval
from mulgil.contract import Metric


def check_floor(metric: Metric, measured: Interval, floor: float) -> Check:
    """Hold a metric on the test rows against the project's floor (a loss: ceiling)."""
    is_passed = measured.value >= floor if metric.is_better_high else measured.value <= floor
    asked = "at least" if metric.is_better_high else "at most"
    return Check(
        name=f"{metric}_floor",
        is_passed=is_passed,
        value=measured.value,
        limit=floor,
        reason=f"{metric} is {show_interval(measured)}; asked for: {asked} {floor:g}",
    )


def check_baseline(metric: Metric, improvement: Interval, margin: float) -> Check:
    """Ask whether the model is surely better than a prediction that looks at no column."""
    return Check(
        name="better_than_baseline",
        is_passed=improvement.low > margin,
        value=improvement.low,
        limit=margin,
        reason=(
            f"{metric} is better than the baseline's by {show_interval(improvement)}; "
            f"asked for: surely more than {margin:g}"
        ),
    )


def check_champion(metric: Metric, improvement: Interval, margin: float, version: str) -> Check:
    """Ask whether the model is surely no worse than the champion, but for the margin."""
    return Check(
        name="no_worse_than_champion",
        is_passed=improvement.low >= -margin,
        value=improvement.low,
        limit=-margin,
        reason=(
            f"{metric} differs from the champion's (version {version}) by {show_interval(improvement)}; "
            f"asked for: surely no worse by {margin:g}"
        ),
    )


def check_decision(decision: DecisionRule) -> Check:
    """Ask whether some threshold gives what was asked for, on the rows that it was chosen on."""
    among = f"{decision.rule} on {decision.rows} validation rows"
    if decision.is_met:
        reason = f"a yes is called from {decision.threshold:.3g} on: {among}"
    else:
        reason = f"no threshold gives {among}; the nearest is {decision.threshold:.3g}"
    return Check(name="decision", is_passed=decision.is_met, value=decision.threshold, reason=reason)


def pass_without_champion(reason: str) -> Check:
    """Pass the champion's gate, with the reason why nothing could be compared."""
    return Check(name="no_worse_than_champion", is_passed=True, reason=f"Not compared: {reason}")


def show_interval(interval: Interval) -> str:
    """Write a number with its interval for a person."""
    bounds = f"{interval.low:.3f} to {interval.high:.3f}"
    return f"{interval.value:.3f} ({interval.confidence:.0%} interval {bounds})"
