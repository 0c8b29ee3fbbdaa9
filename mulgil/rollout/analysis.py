"""The decision: a pure function of the policy, of what is asked, and of what the windows so far say.

- `ROLL_BACK` as soon as the evidence against "no worse in any way than is tolerated" reaches one over the
  policy's `false_rollback_level`. A canary that is no worse is rolled back with at most that probability,
  over all metrics, steps and looks together.
- `ADVANCE`, and after the last step `PROMOTE`, where the canary has served the least number of requests in
  this step and, in each comparison, the evidence against "worse by the limit or more" reaches one over `1 -
  power`. A canary that is worse by a limit in every step is promoted with at most that probability.
- `HOLD` otherwise: also where there is no traffic, which is never success.
"""

from __future__ import annotations

import math
from enum import StrEnum

from mulgil.artifacts import Record
from mulgil.contract.rollout import Rollout, RolloutMetric
from mulgil.rollout.comparisons import REPLAY_SHARE, LatencyEdges
from mulgil.rollout.evidence import TwoArms
from mulgil.rollout.weighing import Comparisons, Evidence, harm_of, step_shares, total_harm


class Action(StrEnum):
    """What is to be done."""

    ADVANCE = "ADVANCE"
    HOLD = "HOLD"
    PROMOTE = "PROMOTE"
    ROLL_BACK = "ROLL_BACK"


class Finding(Record):
    """What was seen of one comparison in a step.

    Attributes:
        name: Such as `latency p95`.
        metric: What it belongs to.
        canary_events: Events in the canary.
        canary_requests: Out of how many.
        stable_events: Likewise in the stable version, in the same windows; expected ones for predictions.
        stable_requests: Out of how many.
        log_harm: Natural logarithm of the e-value against "no worse than is tolerated", over all steps.
        log_harm_bar: Where it alone would be a reason to roll back.
        log_safety: Likewise against "worse by the limit or more", in this step.
        log_safety_bar: Where it is safe.
        sentence: The same in words.
    """

    name: str
    metric: RolloutMetric
    canary_events: float
    canary_requests: float
    stable_events: float
    stable_requests: float
    log_harm: float
    log_harm_bar: float
    log_safety: float
    log_safety_bar: float
    sentence: str


class Decision(Record):
    """A decision with its numbers.

    Attributes:
        action: What is to be done.
        reason: Why, in words.
        log_harm: Natural logarithm of the e-value over all comparisons.
        log_harm_bar: Where it is a reason to roll back.
        findings: Each comparison.
    """

    action: Action
    reason: str
    log_harm: float
    log_harm_bar: float
    findings: tuple[Finding, ...]


def harm_bar(policy: Rollout) -> float:
    """Return the logarithm of the e-value at which it is rolled back; the replay has paid its part before."""
    return -math.log(policy.false_rollback_level * (1 - REPLAY_SHARE))


def safety_bar(policy: Rollout) -> float:
    """Return the logarithm of the e-value at which a comparison is safe."""
    return -math.log(1 - policy.power)


def decide(
    policy: Rollout,
    asked: Comparisons,
    evidence: Evidence,
    seen: TwoArms,
    *,
    step: int,
    requests: float,
    latency: LatencyEdges | None = None,
) -> Decision:
    """Decide.

    Args:
        policy: The limits.
        asked: The comparisons.
        evidence: What the windows so far say.
        seen: Events and requests in this step, for the words.
        step: The step, from 0.
        requests: That the canary served in this step.
        latency: Where latencies are cut, for the words.
    """
    each = harm_of(evidence, step_shares(evidence.harm.shape[-2]))
    total = float(total_harm(each, asked.shares))
    bar, safe_at = harm_bar(policy), safety_bar(policy)
    findings = tuple(
        Finding(
            name=name,
            metric=RolloutMetric(metric),
            canary_events=float(seen.canary_events[i]),
            canary_requests=float(seen.canary_requests[i]),
            stable_events=float(seen.stable_events[i]),
            stable_requests=float(seen.stable_requests[i]),
            log_harm=float(each[i]),
            log_harm_bar=bar - math.log(asked.shares[i]),
            log_safety=float(evidence.safety[i]),
            log_safety_bar=safe_at,
            sentence=_say(asked, seen, i, policy, latency),
        )
        for i, (name, metric) in enumerate(zip(asked.names, asked.metrics, strict=True))
    )
    if total >= bar:
        worst = max(findings, key=lambda finding: finding.log_harm - finding.log_harm_bar)
        reason = (
            f"The canary is worse. {worst.sentence} If it were no worse than is tolerated, that would be "
            f"seen in one of {_odds(total)} rollouts at most, and the policy's bar is one of {_odds(bar)}."
        )
        return _of(Action.ROLL_BACK, reason, total, bar, findings)
    hold = _reason_to_hold(policy, findings, requests)
    if hold is not None:
        return _of(Action.HOLD, hold, total, bar, findings)
    is_last = step == len(policy.steps) - 1
    reason = (
        f"In each of {len(findings)} comparisons a canary that is worse by the policy's limit is excluded "
        f"with {policy.power:.0%} certainty, after {requests:,.0f} requests in this step."
    )
    return _of(Action.PROMOTE if is_last else Action.ADVANCE, reason, total, bar, findings)


def _of(action: Action, reason: str, total: float, bar: float, findings: tuple[Finding, ...]) -> Decision:
    return Decision(action=action, reason=reason, log_harm=total, log_harm_bar=bar, findings=findings)


def _reason_to_hold(policy: Rollout, findings: tuple[Finding, ...], requests: float) -> str | None:
    if requests == 0:
        return "The canary has served no request in this step, and no traffic is never success."
    if requests < policy.minimum_requests:
        return (
            f"The canary has served {requests:,.0f} requests in this step; the policy wants "
            f"{policy.minimum_requests:,}."
        )
    unsure = [finding for finding in findings if _is_unsafe(finding, policy)]
    if not unsure:
        return None
    least = min(unsure, key=lambda finding: finding.log_safety)
    return (
        f"It is not yet excluded that the canary is worse by the policy's limit in {len(unsure)} of "
        f"{len(findings)} comparisons; the least sure is {least.name}. {least.sentence}"
    )


def _is_unsafe(finding: Finding, policy: Rollout) -> bool:
    # Labels may come in a month or never. They hold nobody up who does not ask for them; the harm they show
    # still counts.
    if finding.metric is RolloutMetric.ACCURACY and finding.metric not in policy.required_metrics:
        return False
    return finding.log_safety < finding.log_safety_bar


_EVENTS = {
    RolloutMetric.ERROR_RATE: "requests failed",
    RolloutMetric.ACCURACY: "labelled predictions were wrong",
}


def _say(asked: Comparisons, seen: TwoArms, i: int, policy: Rollout, latency: LatencyEdges | None) -> str:
    """Write down what was seen of a comparison."""
    metric = RolloutMetric(asked.metrics[i])
    canary = _share(seen.canary_events[i], seen.canary_requests[i])
    stable = _share(seen.stable_events[i], seen.stable_requests[i])
    of = f"of the canary's {seen.canary_requests[i]:,.0f}"
    match metric:
        case RolloutMetric.LATENCY:
            assert latency is not None
            at = list(asked.names).index(f"latency p{policy.latency.quantiles[0] * 100:g}")
            threshold = latency.stable[i - at]
            longest = _milliseconds(threshold * latency.harm_ratio)
            return (
                f"{canary} {of} requests took longer than {longest}; of the "
                f"stable version's in the same windows {stable} took longer than "
                f"{_milliseconds(threshold)}, where {latency.harm_ratio:g} times as slow is tolerated."
            )
        case RolloutMetric.PREDICTIONS:
            where = asked.names[i].removeprefix("predictions ")
            return (
                f"{canary} {of} predictions are {where}; the replay predicted {stable} for the same windows, "
                f"and a difference of {asked.tolerated[i] * 100:.1f} points is tolerated, what the replay "
                "could not know included."
            )
        case _:
            return (
                f"{canary} {of} {_EVENTS[metric]}, and {stable} of the stable version's in the same "
                f"windows; a difference of {asked.tolerated[i] * 100:g} points is tolerated."
            )


def _share(events: float, requests: float) -> str:
    return f"{events / requests:.1%}" if requests else "None"


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms"


def _odds(logarithm: float) -> str:
    return f"{math.exp(min(logarithm, math.log(1e9))):,.0f}"
