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
# Requests of a window are believed to be independent as strongly as so many windows would tell it.
_PRIOR_WINDOWS = 5
# A window's evidence of harm in a comparison counts for at most 20 to 1: what is known of how requests hang
# together comes from windows before, and a first stall must not decide alone. The lesser of an e-value and a
# constant is one.
_GREATEST_EVIDENCE = float(np.log(20))
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


class Clustering(Record):
    """How much the stable version's requests of a window share their fate, as its windows so far tell.

    Attributes:
        share: Of events in the newest window.
        requests: In that window; 0 before the first.
        scatter: Sum of the squared differences of neighbouring windows' shares, beyond what independent
            requests explain.
        spread: Sum of twice the variance of one request's event: what `scatter` would be if all requests of a
            window shared one fate.

    Shapes:
        (..., comparisons).
    """

    share: StoredArray
    requests: StoredArray
    scatter: StoredArray
    spread: StoredArray


class Evidence(Record):
    """What the windows so far say.

    Attributes:
        events: Of the stable version, the older the less; what the next window's bets are made from.
        requests: Likewise.
        harm: Logarithm of the e-value, by the step from whose begin it is gathered and the alternative.
        safety: Logarithm of the e-value since the step's begin.
        clustering: Of the stable version's requests.

    Shapes:
        events, requests, safety: (..., comparisons).
        harm: (..., comparisons, steps, alternatives).
    """

    events: StoredArray
    requests: StoredArray
    harm: StoredArray
    safety: StoredArray
    clustering: Clustering


def no_evidence(baseline_events: Array, baseline_requests: Array, steps: int) -> Evidence:
    """Begin, from what is known of the stable version before.

    Args:
        baseline_events: Of each comparison's events in the stable version's earlier traffic.
        baseline_requests: Out of how many.
        steps: How many steps are judged.
    """
    shape = (*np.shape(baseline_events), steps, len(EFFECTS))
    none = np.zeros(np.shape(baseline_events))
    events = np.asarray(baseline_events, float) + _PRIOR_EVENTS
    requests = np.asarray(baseline_requests, float) + _PRIOR_REQUESTS
    share = events / requests
    return Evidence(
        events=events,
        requests=requests,
        harm=np.zeros(shape),
        safety=none,
        clustering=Clustering(
            share=none, requests=none, scatter=none, spread=_PRIOR_WINDOWS * 2 * share * (1 - share)
        ),
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
    correlation = correlation_of(evidence.clustering)
    harm_counts, safety_counts = (effective(counts, correlation) for counts in (window.harm, window.safety))
    is_known = evidence.requests >= _LEAST_KNOWN
    border = logit(share + asked.tolerated)
    distance = np.where(
        np.isnan(asked.harm_distance), logit(share + asked.limit) - border, asked.harm_distance
    )
    harm = log_e_value(
        TwoArms(*(np.asarray(part, float)[..., None] for part in harm_counts)),
        expit(border[..., None] + distance[..., None] * EFFECTS),
        share[..., None],
        asked.tolerated[..., None],
    )
    harm = np.minimum(harm, _GREATEST_EVIDENCE)
    # A harmless one, bet on against the limit: the events that stay away.
    spared = logit(1 - share)
    safety = log_e_value(
        safety_counts.complement,
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
        clustering=_observe(evidence.clustering, window.harm),
    )


def correlation_of(clustering: Clustering) -> Array:
    """Return the correlation of two requests of an arm in the same window."""
    correlation: Array = np.clip(clustering.scatter / clustering.spread, 0.0, 1.0)
    return correlation


def effective(counts: TwoArms, correlation: Array) -> TwoArms:
    """Count as many requests as would tell as much if they were independent.

    Each arm's counts are divided by its design effect, `1 + (requests - 1) * correlation`. Where requests
    come in clusters of at most that size, whatever the dependence within one, what is made of the divided
    counts is still an e-value: by Hölder's inequality a cluster's expected product of ratios, each to the
    power of one over the size, is at most the product of their expectations to that power; and the nearest
    member of the null is chosen for the divided counts. What was divided by was known before the window.

    Source:
        Kish, "Survey Sampling" (1965), 5.4, for the design effect.
    """
    canary, stable = (
        1 + np.maximum(requests - 1, 0) * correlation
        for requests in (counts.canary_requests, counts.stable_requests)
    )
    return TwoArms(
        counts.canary_events / canary,
        counts.canary_requests / canary,
        counts.stable_events / stable,
        counts.stable_requests / stable,
    )


def _observe(clustering: Clustering, counts: TwoArms) -> Clustering:
    """Add the stable version's newest window.

    Neighbouring windows are compared, so that a slow drift, which both arms share, is hardly taken for it.

    Source:
        von Neumann, "Distribution of the ratio of the mean square successive difference to the variance",
        Annals of Mathematical Statistics 12 (1941).
    """
    now, before = counts.stable_requests, clustering.requests
    is_seen, is_pair = now > 0, (now > 0) & (before > 0)
    share = counts.stable_events / np.maximum(now, 1)
    both = np.maximum(now + before, 1)
    pooled = (share * now + clustering.share * before) / both
    variance = pooled * (1 - pooled)
    independent = variance * (1 / np.maximum(now, 1) + 1 / np.maximum(before, 1))
    return Clustering(
        share=np.where(is_seen, share, clustering.share),
        requests=np.where(is_seen, now, before),
        scatter=clustering.scatter + np.where(is_pair, (share - clustering.share) ** 2 - independent, 0.0),
        spread=clustering.spread + np.where(is_pair, 2 * variance, 0.0),
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
