"""From window to window: what is asked of a canary, and what the windows so far say.

Two questions stand for each comparison. *Is it harmful?* has the null "no worse than is tolerated"; its
evidence is gathered anew from the begin of every step, and all are averaged with shares that sum to one, so
that a harm that shows only under more traffic is not covered by what was good before. *Is it safe?* has the
null "worse by the limit or more"; its evidence starts anew at every step.

Everything is an array whose last axis counts the comparisons, so that a simulation runs thousands of rollouts
by the very code that decides one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mulgil.artifacts import Record
from mulgil.rollout.evidence import Array, StoredArray, TwoArms, expit, log_e_value, log_mean_exp, logit

# Of the log-odds between what is tolerated and the limit: on which alternatives it is bet, and with which
# share. A harm of the limit's size is to be found with the fewest requests, one of many times that soon
# enough. Tuned on `benchmarks/rollout_decision`.
EFFECTS = np.array([1.0, 1.6, 2.8])
EFFECT_SHARES = np.array([0.5, 0.25, 0.25])

# How much of what is known of the stable version's share a window leaves: a mean over about the last ten.
_REMEMBERED = 0.9
# Where the stable version has no event yet, its share is one in a thousand over one request more.
_PRIOR_EVENTS, _PRIOR_REQUESTS = 0.001, 1.0
# Before so many of the stable version's requests are known, a bet would be a guess; a bad one costs much.
_LEAST_KNOWN = 30.0


@dataclass(frozen=True)
class Comparisons:
    """What is asked.

    Attributes:
        names: Of each, such as `latency p95`.
        metrics: Which metric each belongs to.
        shares: Share of the error level that each has; they sum to at most one.
        tolerated: Difference of the shares of events that is tolerated.
        limit: Difference that must be found.
        harm_distance: Log-odds between what is tolerated and the limit, where the event differs between the
            arms; NaN where it follows from `tolerated` and `limit`.
        safe_distance: Log-odds by which a harmless canary is away from the limit's null; likewise.

    Shapes:
        The arrays: (..., comparisons).
    """

    names: tuple[str, ...]
    metrics: tuple[str, ...]
    shares: Array
    tolerated: Array
    limit: Array
    harm_distance: Array
    safe_distance: Array


@dataclass(frozen=True)
class Window:
    """One window's counts, for both questions.

    Attributes:
        harm: Events that are held against what is tolerated.
        safety: Events that are held against the limit; they differ where the limit is a ratio of the values.
    """

    harm: TwoArms
    safety: TwoArms


class Evidence(Record):
    """What the windows so far say.

    Attributes:
        events: Of the stable version, the older the less; what the next window's bets are made from.
        requests: Likewise.
        harm: Logarithm of the e-value, by the step from whose begin it is gathered and the alternative.
        safety: Logarithm of the e-value since the step's begin.

    Shapes:
        events, requests, safety: (..., comparisons).
        harm: (..., comparisons, steps, alternatives).
    """

    events: StoredArray
    requests: StoredArray
    harm: StoredArray
    safety: StoredArray


def no_evidence(baseline_events: Array, baseline_requests: Array, steps: int) -> Evidence:
    """Begin, from what is known of the stable version before.

    Args:
        baseline_events: Of each comparison's events in the stable version's earlier traffic.
        baseline_requests: Out of how many.
        steps: How many steps are judged.
    """
    shape = (*np.shape(baseline_events), steps, len(EFFECTS))
    return Evidence(
        events=np.asarray(baseline_events, float) + _PRIOR_EVENTS,
        requests=np.asarray(baseline_requests, float) + _PRIOR_REQUESTS,
        harm=np.zeros(shape),
        safety=np.zeros(np.shape(baseline_events)),
    )


def weigh(
    evidence: Evidence, asked: Comparisons, window: Window, step: npt.NDArray[np.intp] | int
) -> Evidence:
    """Add a window.

    Args:
        evidence: Of the windows before.
        asked: The comparisons.
        window: Its counts.
        step: The step in which it was, from 0.
    """
    share = evidence.events / evidence.requests
    is_known = evidence.requests >= _LEAST_KNOWN
    border = logit(share + asked.tolerated)
    distance = np.where(
        np.isnan(asked.harm_distance), logit(share + asked.limit) - border, asked.harm_distance
    )
    harm = log_e_value(
        TwoArms(*(np.asarray(part, float)[..., None] for part in window.harm)),
        expit(border[..., None] + distance[..., None] * EFFECTS),
        share[..., None],
        asked.tolerated[..., None],
    )
    # A harmless one, bet on against the limit: the events that stay away.
    spared = logit(1 - share)
    safety = log_e_value(
        window.safety.complement,
        expit(spared + np.where(np.isnan(asked.safe_distance), 0.0, asked.safe_distance)),
        1 - share,
        -np.where(np.isnan(asked.safe_distance), asked.limit, 0.0),
    )
    has_begun = np.arange(evidence.harm.shape[-2]) <= np.asarray(step)[..., None]
    known = np.where(window.harm.stable_requests > 0, _REMEMBERED, 1.0)
    return Evidence(
        events=known * evidence.events + window.harm.stable_events,
        requests=known * evidence.requests + window.harm.stable_requests,
        harm=evidence.harm
        + np.where(is_known[..., None, None] & has_begun[..., None, :, None], harm[..., None, :], 0.0),
        safety=evidence.safety + np.where(is_known, safety, 0.0),
    )


def enter_step(evidence: Evidence, has_entered: npt.NDArray[np.bool_] | bool = True) -> Evidence:
    """Forget what spoke for safety: a new step must show it anew."""
    kept = np.where(np.asarray(has_entered)[..., None], 0.0, evidence.safety)
    return evidence.model_copy(update={"safety": kept})


def harm_of(evidence: Evidence, step_shares: Array) -> Array:
    """Return the logarithm of each comparison's e-value against "no worse than is tolerated"."""
    weights = np.log(step_shares)[:, None] + np.log(EFFECT_SHARES)
    return log_mean_exp(evidence.harm, weights, axis=(-2, -1))


def total_harm(harm: Array, shares: Array) -> Array:
    """Return the logarithm of the e-value against "no worse in any way".

    A weighted mean of e-values is one; it is never less than what a split of the level by Bonferroni would
    give.
    """
    return log_mean_exp(harm, np.log(shares), axis=-1)


def step_shares(steps: int) -> Array:
    """Return each step's share of the error level: half to the first, half of the rest to each other."""
    halves: Array = 0.5 ** np.arange(1, steps + 1, dtype=np.float64)
    halves[-1] *= 2
    return halves
