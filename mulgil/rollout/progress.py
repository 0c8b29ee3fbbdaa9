"""A rollout's next move, from what is written down: at most one change to the platform, then it is written.

Whoever dies between the change and the writing leaves a change that is made once more, and every change
reconciles.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from mulgil.contract.labels import LabelKind
from mulgil.contract.rollout import DeadlineOutcome, RolloutMetric
from mulgil.errors import MulgilError, TemporaryError
from mulgil.rollout.analysis import Action, decide
from mulgil.rollout.comparisons import Preparation, ReplayedShift, compare, compared, cut_latencies
from mulgil.rollout.drivers import Driver
from mulgil.rollout.evidence import TwoArms
from mulgil.rollout.labels import Judged, LabelSource
from mulgil.rollout.record import Phase, ReplayReport, RolloutRecord, StepRecord
from mulgil.rollout.releases import Sight
from mulgil.rollout.sources import Arms, MetricSource
from mulgil.rollout.store import Command
from mulgil.rollout.traffic import ArmTraffic, Traffic, count_events
from mulgil.rollout.weighing import enter_step, no_evidence, weigh

# So many of the stable version's requests tell its quantiles well enough to set thresholds by.
LEARNT_REQUESTS = 200.0
# How far back the stable version's own traffic is looked at.
BASELINE_SECONDS = 3600.0
# Of live requests, those that the candidate gets a copy of: each costs the machine a second answer. By eye.
_MIRROR_PERCENT = 20.0
# Labels come late, so that those which tell of the stable version may be of days ago.
_JUDGED_SECONDS = 7 * 86_400.0
# So many losses of its numbers tell the quantile beyond which one counts as wrong; the quantile is by eye.
LEARNT_LABELS = 100
_LOSS_QUANTILE = 0.8
# Of the points of a long path, all but the last of ten may go.
_PATH_POINTS = 400

Replayer = Callable[[RolloutRecord, Sight], tuple[ReplayReport | None, ReplayedShift | None]]


@dataclass(frozen=True)
class Surroundings:
    """What a rollout touches.

    Attributes:
        driver: The platform.
        source: Where its numbers come from.
        replay: Asks both versions the same requests; without a report where there are none to ask.
        labels: Where labels come; `None` where none do.
    """

    driver: Driver
    source: MetricSource
    replay: Replayer
    labels: LabelSource | None = None

    @property
    def measures(self) -> frozenset[RolloutMetric]:
        """What can be compared here."""
        return self.source.measures | ({RolloutMetric.ACCURACY} if self.labels is not None else set())


def move(rollout: RolloutRecord, around: Surroundings, command: Command | None, now: float) -> RolloutRecord:
    """Make the next move.

    Args:
        rollout: As it is written down.
        around: What it touches.
        command: What a person wants.
        now: Seconds since the epoch.

    Raises:
        TemporaryError: Something did not answer; the same move may be tried again.
    """
    if rollout.phase.is_over:
        return rollout
    if around.driver.read(rollout.service, rollout.namespace) is None:
        # Who deleted it does not want it back for a rollout.
        reason = f"{rollout.namespace}/{rollout.service} was deleted."
        return conclude(rollout, Phase.ROLLED_BACK, reason, now)
    decided = _by_hand(rollout, command, now) or _by_deadline(rollout, now)
    if decided is not None:
        return decided
    return _MOVES[rollout.phase](rollout, around, now)


def _by_hand(rollout: RolloutRecord, command: Command | None, now: float) -> RolloutRecord | None:
    if command is Command.PROMOTE and rollout.phase is not Phase.PROMOTING:
        return conclude(rollout, Phase.PROMOTING, "A person promoted it.", now, is_by_hand=True)
    if command is Command.ABORT and rollout.phase is not Phase.ROLLING_BACK:
        return conclude(rollout, Phase.ROLLING_BACK, "A person aborted it.", now, is_by_hand=True)
    return None


def _by_deadline(rollout: RolloutRecord, now: float) -> RolloutRecord | None:
    is_decided = rollout.phase in (Phase.PAUSED, Phase.PROMOTING, Phase.ROLLING_BACK)
    if now < rollout.deadline_at or is_decided:
        return None
    decision = rollout.steps[-1].decision if rollout.steps else None
    still = f" Last: {decision.reason}" if decision else " No step had begun."
    hours = f"{rollout.policy.deadline_hours:g} hours"
    if rollout.policy.on_deadline is DeadlineOutcome.PAUSE:
        text = f"Undecided after {hours}: the split stays until a person decides.{still}"
        return rollout.enter(Phase.PAUSED, now, text, reason=text)
    return conclude(rollout, Phase.ROLLING_BACK, f"Undecided after {hours}.{still}", now)


def conclude(
    rollout: RolloutRecord, phase: Phase, reason: str, now: float, *, is_by_hand: bool = False
) -> RolloutRecord:
    """Return the rollout on its way to one of its ends."""
    steps = rollout.steps
    if steps and steps[-1].ended_at is None:
        steps = (*steps[:-1], steps[-1].model_copy(update={"ended_at": now}))
    # A person may turn one that was on its way to the other end.
    return rollout.enter(phase, now, reason, reason=reason, is_by_hand=is_by_hand, steps=steps, restoring=0)


def _place(rollout: RolloutRecord, around: Surroundings, now: float) -> RolloutRecord:
    sight = _split(rollout, around, 0)
    if sight.failure is not None:
        reason = f"The candidate does not become ready: {sight.failure}"
        return conclude(rollout, Phase.ROLLING_BACK, reason, now)
    if sight.is_settled:
        return rollout.enter(Phase.REPLAYING, now, "The candidate is ready, without traffic.")
    if now - rollout.since > rollout.policy.patience_minutes * 60:
        reason = f"The candidate is not ready after {rollout.policy.patience_minutes:g} minutes."
        return conclude(rollout, Phase.ROLLING_BACK, reason, now)
    return rollout


def _replay(rollout: RolloutRecord, around: Surroundings, now: float) -> RolloutRecord:
    policy = rollout.policy.replay
    if policy is None:
        return _prepare(rollout, around, None, "The policy has no replay.", now)
    report, shift = around.replay(rollout, _look(rollout, around))
    if report is None:
        text = "There is nothing to replay."
        if policy.is_required:
            return conclude(rollout, Phase.ROLLING_BACK, f"{text} The policy requires it.", now)
        return _prepare(rollout, around, None, text, now)
    rollout = rollout.model_copy(update={"replay": report})
    if report.canary_failures > policy.greatest_failure_rate * report.requests:
        reason = (
            f"In the replay the candidate failed {report.canary_failures} of {report.requests} requests that "
            "the stable version answered."
        )
        return conclude(rollout, Phase.ROLLING_BACK, reason, now)
    text = (
        f"Replayed {report.requests} requests ({report.source}): predictions differ by "
        f"{report.mean_difference:+.3g} in the mean, by at most {report.absolute_quantiles[2]:.3g}; distance "
        f"{report.distance:.3f}."
    )
    return _prepare(rollout, around, shift, text, now)


def _prepare(
    rollout: RolloutRecord, around: Surroundings, shift: ReplayedShift | None, text: str, now: float
) -> RolloutRecord:
    prepared = Preparation(
        metrics=tuple(metric for metric in RolloutMetric if metric in around.measures), shift=shift
    )
    wants_shadow = rollout.policy.shadow is not None and around.driver.capabilities.can_mirror
    phase = Phase.SHADOWING if wants_shadow else Phase.LEARNING
    return rollout.enter(phase, now, text, preparation=prepared)


def _shadow(rollout: RolloutRecord, around: Surroundings, now: float) -> RolloutRecord:
    shadow = rollout.policy.shadow
    assert shadow is not None
    around.driver.lead(rollout.service, rollout.namespace, mirror_percent=_MIRROR_PERCENT, sticky_header=None)
    seen = around.source.read_mirrored(_arms(rollout), rollout.since, now)
    if seen.requests < shadow.requests:
        return rollout
    around.driver.lead(rollout.service, rollout.namespace, mirror_percent=0, sticky_header=None)
    text = f"The candidate answered {seen.requests:,.0f} copies of live requests; {seen.errors:,.0f} failed."
    # By the limit alone, and three standard deviations of it: copies touch nobody, so haste is of no use.
    borne = rollout.policy.error_rate.limit_increase * seen.requests
    if seen.errors > borne + 3 * borne**0.5:
        return conclude(rollout, Phase.ROLLING_BACK, text, now)
    return rollout.enter(Phase.LEARNING, now, text)


def _learn(rollout: RolloutRecord, around: Surroundings, now: float) -> RolloutRecord:
    """Set the thresholds of latency by the stable version's own traffic."""
    assert rollout.preparation is not None
    before = around.source.read_before(_arms(rollout), BASELINE_SECONDS, now).stable
    if before.requests < LEARNT_REQUESTS:
        return rollout
    prepared = rollout.preparation
    latencies = before.latencies
    if latencies is not None and latencies.count() >= LEARNT_REQUESTS:
        limits = rollout.policy.latency
        ratios = (limits.tolerated_ratio, limits.limit_ratio)
        cut = cut_latencies(latencies.values(), limits.quantiles, *ratios)
        prepared = prepared.model_copy(update={"latency": cut})
    if around.labels is not None:
        try:
            judged = around.labels.judge(_arms(rollout), now - _JUDGED_SECONDS)
        except MulgilError as exc:
            rollout, judged = rollout.tell(now, f"Labels are not counted: {exc}"), {}
        if judged is None:
            return rollout
        prepared, before = _judge_stable(
            prepared, before, around.labels.kind, judged.get(rollout.stable_version)
        )
    missing = sorted(set(rollout.policy.required_metrics) - set(compared(prepared)))
    if missing:
        text = f"Waiting: too little is known yet to compare {', '.join(missing)}, which the policy requires."
        return rollout.tell(now, text)
    asked = compare(rollout.policy, prepared)
    known = count_events(Traffic(canary=before, stable=before), prepared).harm
    evidence = no_evidence(known.stable_events, known.stable_requests, len(rollout.policy.steps))
    names = ", ".join(metric.value for metric in compared(prepared))
    text = (
        f"Learnt from {before.requests:,.0f} requests of the stable version; compared by {names}, in "
        f"{len(asked.names)} comparisons."
    )
    rollout = rollout.note(now, text).model_copy(update={"preparation": prepared, "evidence": evidence})
    return _begin_step(rollout, around, 0, now)


def _judge_stable(
    prepared: Preparation, before: ArmTraffic, kind: LabelKind, judged: Judged | None
) -> tuple[Preparation, ArmTraffic]:
    """Say from which loss on a prediction is wrong, and how many of the stable version's were."""
    losses = np.zeros(0) if judged is None else judged.losses
    if kind is LabelKind.CLASS:
        greatest = 0.5
    elif len(losses) >= LEARNT_LABELS:
        greatest = float(np.quantile(losses, _LOSS_QUANTILE))
    else:
        return prepared, before
    wrong = float((losses > greatest).sum())
    return (
        prepared.model_copy(update={"greatest_loss": greatest}),
        replace(before, labelled=float(len(losses)), wrong=wrong),
    )


def _begin_step(rollout: RolloutRecord, around: Surroundings, index: int, now: float) -> RolloutRecord:
    percent = rollout.policy.steps[index]
    step = StepRecord(percent=percent, begun_at=now)
    around.driver.lead(
        rollout.service, rollout.namespace, mirror_percent=0, sticky_header=rollout.policy.sticky_header
    )
    return rollout.enter(
        Phase.STEPPING,
        now,
        f"Step {index + 1} of {len(rollout.policy.steps)}: {percent} percent.",
        steps=(*rollout.steps, step),
        cursor=None,
    )


def _step(rollout: RolloutRecord, around: Surroundings, now: float) -> RolloutRecord:
    step = rollout.steps[-1]
    sight = _split(rollout, around, step.percent)
    if sight.failure is not None:
        reason = f"The candidate does not run any more: {sight.failure}"
        return conclude(rollout, Phase.ROLLING_BACK, reason, now)
    arms = _arms(rollout)
    if rollout.cursor is None:
        if not sight.is_settled or sight.canary_percent != step.percent:
            return rollout
        return rollout.model_copy(update={"cursor": around.source.open(arms, now), "looked_at": now})
    if now - rollout.looked_at < rollout.policy.window_seconds:
        return rollout
    traffic, cursor = around.source.read(arms, rollout.cursor, now)
    rollout, labelled = _read_labels(
        rollout.model_copy(update={"cursor": cursor, "looked_at": now}), around, now
    )
    rollout = _weigh(rollout, traffic, labelled, now)
    decision = rollout.steps[-1].decision
    assert decision is not None
    match decision.action:
        case Action.ROLL_BACK:
            return conclude(rollout, Phase.ROLLING_BACK, decision.reason, now)
        case Action.PROMOTE:
            return conclude(rollout, Phase.PROMOTING, decision.reason, now)
        case Action.ADVANCE:
            return _advance(rollout, around, decision.reason, now)
    return rollout


def _read_labels(
    rollout: RolloutRecord, around: Surroundings, now: float
) -> tuple[RolloutRecord, list[Traffic]]:
    """Return what labels have come since the look before, by the step in which was predicted.

    Within a step both versions' shares are what they are, so that a rate that drifts from step to step is
    none of the canary's. Trouble with labels keeps nobody from looking at the rest.
    """
    greatest = rollout.preparation.greatest_loss if rollout.preparation else None
    if around.labels is None or greatest is None:
        return rollout, []
    try:
        judged = around.labels.judge(_arms(rollout), rollout.steps[0].begun_at)
    except MulgilError as exc:
        return rollout.tell(now, f"Labels are not counted: {exc}"), []
    if judged is None:
        return rollout, []
    steps, found = [], []
    for step in rollout.steps:
        span = step.begun_at, now if step.ended_at is None else step.ended_at
        losses = [judged[v].between(*span) for v in (rollout.candidate_version, rollout.stable_version)]
        counts = tuple(int(n) for arm in losses for n in (len(arm), (arm > greatest).sum()))
        labelled, wrong, stable, stable_wrong = (
            float(max(new - old, 0)) for new, old in zip(counts, step.judged, strict=True)
        )
        if labelled or stable:
            canary_arm = ArmTraffic(labelled=labelled, wrong=min(wrong, labelled))
            found.append(Traffic(canary_arm, ArmTraffic(labelled=stable, wrong=min(stable_wrong, stable))))
        steps.append(step.model_copy(update={"judged": counts}))
    return rollout.model_copy(update={"steps": tuple(steps)}), found


def _weigh(rollout: RolloutRecord, traffic: Traffic, labelled: list[Traffic], now: float) -> RolloutRecord:
    """Add a window's counts, and those of labels that have come, and decide."""
    prepared, evidence, step = rollout.preparation, rollout.evidence, rollout.steps[-1]
    assert prepared is not None
    assert evidence is not None
    asked, index = compare(rollout.policy, prepared), len(rollout.steps) - 1
    seen = np.zeros((4, len(asked.names))) if step.seen is None else step.seen
    for counted in (traffic, *labelled):
        window = count_events(counted, prepared)
        evidence = weigh(evidence, asked, window, index)
        seen = seen + np.array(window.harm)
    step = step.model_copy(
        update={
            "canary_requests": step.canary_requests + traffic.canary.requests,
            "canary_errors": step.canary_errors + traffic.canary.errors,
            "stable_requests": step.stable_requests + traffic.stable.requests,
            "stable_errors": step.stable_errors + traffic.stable.errors,
            "windows": step.windows + 1,
            "seen": seen,
        }
    )
    decision = decide(
        rollout.policy,
        asked,
        evidence,
        TwoArms(*seen),
        step=index,
        requests=step.canary_requests,
        latency=prepared.latency,
    )
    path = (*step.harm_path, (now, decision.log_harm))
    if len(path) > _PATH_POINTS:
        path = path[::2]
    step = step.model_copy(update={"decision": decision, "harm_path": path})
    return rollout.model_copy(update={"evidence": evidence, "steps": (*rollout.steps[:-1], step)})


def _advance(rollout: RolloutRecord, around: Surroundings, reason: str, now: float) -> RolloutRecord:
    assert rollout.evidence is not None
    ended = rollout.steps[-1].model_copy(update={"ended_at": now})
    rollout = rollout.note(now, reason).model_copy(
        update={"steps": (*rollout.steps[:-1], ended), "evidence": enter_step(rollout.evidence)}
    )
    return _begin_step(rollout, around, len(rollout.steps), now)


def _wait(rollout: RolloutRecord, around: Surroundings, now: float) -> RolloutRecord:
    del around, now
    return rollout


def _promote(rollout: RolloutRecord, around: Surroundings, now: float) -> RolloutRecord:
    form = around.driver.form(rollout.candidate)
    sight = _write(rollout, around, form.promote(rollout.stable, rollout.candidate))
    if not sight.is_settled:
        return rollout
    return rollout.enter(Phase.PROMOTED, now, f"Version {rollout.candidate_version} has all the traffic.")


def _roll_back(rollout: RolloutRecord, around: Surroundings, now: float) -> RolloutRecord:
    around.driver.lead(rollout.service, rollout.namespace, mirror_percent=0, sticky_header=None)
    form = around.driver.form(rollout.candidate)
    objects = form.restore(rollout.stable, rollout.candidate)
    sight = _write(rollout, around, objects[rollout.restoring])
    rollout = _count_rest(rollout, around, now)
    if rollout.restoring + 1 < len(objects):
        # The first of several takes the traffic away, and waits for nobody: the candidate may never be ready.
        is_done = rollout.restoring == 0 or sight.is_settled
        return rollout.model_copy(update={"restoring": rollout.restoring + 1}) if is_done else rollout
    if not sight.is_settled:
        return rollout
    return rollout.enter(
        Phase.ROLLED_BACK, now, f"Version {rollout.stable_version} has all the traffic again."
    )


def _count_rest(rollout: RolloutRecord, around: Surroundings, now: float) -> RolloutRecord:
    """Add what the candidate served since the last look, so that the verdict tells of all whom it touched."""
    if rollout.cursor is None:
        return rollout
    try:
        traffic, cursor = around.source.read(_arms(rollout), rollout.cursor, now)
    except MulgilError:
        # No number that is missing keeps a candidate where it is.
        return rollout
    rest = traffic.canary
    if not rest.requests:
        return rollout
    *before, step = rollout.steps
    step = step.model_copy(
        update={
            "canary_requests": step.canary_requests + rest.requests,
            "canary_errors": step.canary_errors + rest.errors,
        }
    )
    return rollout.model_copy(update={"cursor": cursor, "steps": (*before, step)})


def _split(rollout: RolloutRecord, around: Surroundings, percent: int) -> Sight:
    form = around.driver.form(rollout.candidate)
    return _write(rollout, around, form.split(rollout.stable, rollout.candidate, percent))


def _write(rollout: RolloutRecord, around: Surroundings, wanted: dict[str, object]) -> Sight:
    """Make the platform want an object, and say how far it is."""
    around.driver.write(wanted)
    return _look(rollout, around)


def _look(rollout: RolloutRecord, around: Surroundings) -> Sight:
    item = around.driver.read(rollout.service, rollout.namespace)
    if item is None:
        raise TemporaryError(f"{rollout.namespace}/{rollout.service} is not there.")
    return around.driver.form(rollout.candidate).look(item)


def _arms(rollout: RolloutRecord) -> Arms:
    return Arms(rollout.service, rollout.namespace, rollout.stable_version, rollout.candidate_version)


_MOVES = {
    Phase.PLACING: _place,
    Phase.REPLAYING: _replay,
    Phase.SHADOWING: _shadow,
    Phase.LEARNING: _learn,
    Phase.STEPPING: _step,
    Phase.PAUSED: _wait,
    Phase.PROMOTING: _promote,
    Phase.ROLLING_BACK: _roll_back,
}
