"""Before a rollout: how long until it is decided, and how many requests a worse canary touches until then.

The very analysis that would decide it runs on simulated windows of the stable version's recent traffic: its
rate, its error rate and its latencies. Predictions and labels are left out, so that a harm that shows in them
is found later here than it would be.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mulgil.artifacts import Record
from mulgil.contract.rollout import Rollout, RolloutMetric
from mulgil.rollout.analysis import harm_bar, safety_bar
from mulgil.rollout.comparisons import Preparation, compare, cut_latencies
from mulgil.rollout.evidence import Array, TwoArms
from mulgil.rollout.traffic import ArmTraffic
from mulgil.rollout.weighing import (
    Comparisons,
    Window,
    enter_step,
    harm_of,
    no_evidence,
    step_shares,
    total_harm,
    weigh,
)

# Rollouts that are simulated a case: enough for two digits in a second.
_ROLLOUTS = 200
# A case that is undecided then is told so; the policy's own deadline may come first.
_MOST_WINDOWS = 4000


class Forecast(Record):
    """What is to be expected of one kind of canary.

    Attributes:
        canary: Which kind, in words.
        rolled_back: Share of the simulated rollouts that are rolled back.
        promoted: Share that is promoted; the others are undecided at the deadline.
        minutes: Median time to the decision, or to the deadline.
        requests: Mean requests that the canary serves until then.
        failed_requests: How many of them are expected to fail that the stable version would answer.
    """

    canary: str
    rolled_back: float
    promoted: float
    minutes: float
    requests: float
    failed_requests: float


@dataclass(frozen=True)
class _Case:
    words: str
    errors: float = 0.0
    slower: float = 1.0


CASES = (
    _Case("as good as the stable version"),
    _Case("1 % more of its requests fail", errors=0.01),
    _Case("5 % more of its requests fail", errors=0.05),
    _Case("20 % more of its requests fail", errors=0.20),
    _Case("1 % slower", slower=1.01),
    _Case("5 % slower", slower=1.05),
    _Case("20 % slower", slower=1.20),
)


def forecast(policy: Rollout, stable: ArmTraffic, seconds: float, seed: int = 0) -> tuple[Forecast, ...]:
    """Simulate each case.

    Args:
        policy: The policy.
        stable: What the stable version served lately; some requests at least.
        seconds: In which time.
        seed: Of the random numbers.
    """
    rate = stable.requests / seconds
    error_rate = (stable.errors + 0.5) / (stable.requests + 1.0)
    latencies = (
        stable.latencies.values() if stable.latencies is not None and stable.latencies.count() else None
    )
    prepared = Preparation(
        metrics=(RolloutMetric.ERROR_RATE, RolloutMetric.LATENCY),
        latency=None
        if latencies is None
        else cut_latencies(
            latencies, policy.latency.quantiles, policy.latency.tolerated_ratio, policy.latency.limit_ratio
        ),
    )
    cases = CASES if latencies is not None else tuple(case for case in CASES if case.slower == 1.0)
    return tuple(
        _simulate(policy, prepared, case, rate, error_rate, latencies, np.random.default_rng([seed, number]))
        for number, case in enumerate(cases)
    )


def _simulate(
    policy: Rollout,
    prepared: Preparation,
    case: _Case,
    rate: float,
    error_rate: float,
    latencies: Array | None,
    rng: np.random.Generator,
) -> Forecast:
    asked, steps = compare(policy, prepared), len(policy.steps)
    stable_share, harm_share, safe_share = _shares(prepared, case, error_rate, latencies)
    shape = (_ROLLOUTS, len(asked.names))
    asked = Comparisons(
        asked.names,
        asked.metrics,
        asked.shares,
        *(
            np.broadcast_to(part, shape)
            for part in (asked.tolerated, asked.limit, asked.harm_distance, asked.safe_distance)
        ),
    )
    known = max(rate * policy.window_seconds, 200.0)
    evidence = no_evidence(np.broadcast_to(stable_share * known, shape), np.full(shape, known), steps)
    step, served = np.zeros(_ROLLOUTS, np.intp), np.zeros(_ROLLOUTS)
    exposed, windows = np.zeros(_ROLLOUTS), np.zeros(_ROLLOUTS)
    outcome = np.zeros(_ROLLOUTS, np.intp)
    most = min(int(policy.deadline_hours * 3600 / policy.window_seconds), _MOST_WINDOWS)
    percents = np.array(policy.steps) / 100
    for _ in range(most):
        is_open = outcome == 0
        if not is_open.any():
            break
        requests = rng.poisson(rate * policy.window_seconds, _ROLLOUTS)
        canary = np.where(is_open, rng.binomial(requests, percents[step]), 0)
        window = _draw(canary, requests - canary, stable_share, harm_share, safe_share, rng)
        evidence = weigh(evidence, asked, window, step)
        exposed += canary
        served += canary
        windows += is_open
        harm = total_harm(harm_of(evidence, step_shares(steps)), asked.shares)
        is_bad = is_open & (harm >= harm_bar(policy))
        is_safe = (evidence.safety >= safety_bar(policy)).all(axis=-1) & (served >= policy.minimum_requests)
        is_safe &= is_open & ~is_bad
        is_last = step == steps - 1
        outcome = np.where(is_bad, -1, np.where(is_safe & is_last, 1, outcome))
        evidence = enter_step(evidence, is_safe)
        served = np.where(is_safe, 0.0, served)
        step = np.where(is_safe & ~is_last, step + 1, step)
    return Forecast(
        canary=case.words,
        rolled_back=float((outcome < 0).mean()),
        promoted=float((outcome > 0).mean()),
        minutes=float(np.median(windows)) * policy.window_seconds / 60,
        requests=float(exposed.mean()),
        failed_requests=float(exposed.mean()) * case.errors,
    )


def _shares(
    prepared: Preparation, case: _Case, error_rate: float, latencies: Array | None
) -> tuple[Array, Array, Array]:
    """Return the shares of events: the stable version's, and the canary's for both questions."""
    canary = min(error_rate + case.errors, 1.0)
    if prepared.latency is None or latencies is None:
        return np.array([error_rate]), np.array([canary]), np.array([canary])
    cut = prepared.latency

    def above(ratio: float) -> Array:
        share: Array = (latencies[:, None] > cut.stable * ratio).mean(axis=0)
        return share

    return (
        np.concatenate([[error_rate], above(1.0)]),
        np.concatenate([[canary], above(cut.harm_ratio / case.slower)]),
        np.concatenate([[canary], above(cut.safe_ratio / case.slower)]),
    )


def _draw(
    canary: np.ndarray,
    stable: np.ndarray,
    stable_share: Array,
    harm_share: Array,
    safe_share: Array,
    rng: np.random.Generator,
) -> Window:
    """Draw a window's events; how comparisons of one request hang together is left out."""

    def events(requests: np.ndarray, shares: Array) -> Array:
        drawn: Array = rng.binomial(requests[:, None], shares).astype(np.float64)
        return drawn

    canary_requests, stable_requests = (
        np.repeat(requests[:, None], len(stable_share), axis=1).astype(np.float64)
        for requests in (canary, stable)
    )
    stable_events = events(stable, stable_share)
    return Window(
        harm=TwoArms(events(canary, harm_share), canary_requests, stable_events, stable_requests),
        safety=TwoArms(events(canary, safe_share), canary_requests, stable_events, stable_requests),
    )
