"""The rules that are compared, each on the same traffic: ours, and those of Flagger and Argo Rollouts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from benchmarks.rollout_decision.traffic import (
    Arm,
    Conditions,
    Edges,
    Harm,
    draw_baseline_latencies,
    draw_replay,
    draw_window,
)
from mulgil.artifacts import Record
from mulgil.rollout import weighing
from mulgil.rollout.comparisons import REPLAY_SHARE, LatencyEdges, ReplayedShift, cut_latencies, learn_shift
from mulgil.rollout.evidence import Array, TwoArms

LEVEL = 0.05
POWER = 0.9
STEPS = (0.05, 0.25, 0.50)
MINIMUM_REQUESTS = 50
ERROR_TOLERATED, ERROR_LIMIT = 0.001, 0.01
LATENCY_QUANTILES = (0.5, 0.95)
LATENCY_TOLERATED, LATENCY_LIMIT = 1.05, 1.2
SCORE_TOLERATED, SCORE_LIMIT = 0.02, 0.10
WRONG_TOLERATED, WRONG_LIMIT = 0.01, 0.05

KeptRecord = TypeVar("KeptRecord", bound=Record)

METRICS = ("error_rate", "latency", "predictions", "accuracy")


@dataclass(frozen=True)
class Prepared:
    """What is known before the first window, by rollout."""

    edges: Edges
    latency: list[LatencyEdges]
    shifts: list[ReplayedShift]
    asked: weighing.Comparisons
    mapping: Array
    evidence: weighing.Evidence


def prepare(conditions: Conditions, seed: int, baseline: int = 1000, pairs: int = 2000) -> Prepared:
    """Look at the stable version's own traffic, and replay."""
    rng = np.random.default_rng([seed, 2])
    rows = len(conditions.requests)
    latencies = draw_baseline_latencies(conditions, rows, baseline, rng)
    stable, candidate = draw_replay(conditions, rows, pairs, rng)
    cuts = [cut_latencies(row, LATENCY_QUANTILES, LATENCY_TOLERATED, LATENCY_LIMIT) for row in latencies]
    shifts = [learn_shift(a, b, LEVEL * REPLAY_SHARE) for a, b in zip(stable, candidate, strict=True)]
    thresholds = np.stack([cut.stable for cut in cuts])
    canary_latency = np.stack([thresholds * LATENCY_TOLERATED, thresholds * LATENCY_LIMIT], axis=-1)
    edges = Edges(
        stable_latency=thresholds,
        canary_latency=canary_latency.reshape(rows, -1),
        stable_scores=np.stack([shift.classes for shift in shifts]),
        canary_scores=np.stack([shift.edges for shift in shifts]),
    )
    assert np.all(np.diff(edges.canary_latency) > 0)
    asked = ask(rows, cuts, shifts)
    mapping = np.stack([shift.above for shift in shifts])
    score_share = 1 - np.array(
        [np.mean(row[:, None] <= shift.edges, axis=0) for row, shift in zip(candidate, shifts, strict=True)]
    )
    share = np.concatenate(
        [
            conditions.errors[:, 0].mean(axis=1, keepdims=True),
            np.tile(1 - np.array(LATENCY_QUANTILES), (rows, 1)),
            score_share,
            1 - score_share,
            np.full((rows, 1), 0.1),
        ],
        axis=1,
    )
    # One earlier window of the stable version's.
    events = rng.binomial(600, share).astype(float)
    evidence = weighing.no_evidence(events, np.full_like(events, 600.0), len(STEPS))
    return Prepared(edges, cuts, shifts, asked, mapping, evidence)


def ask(rows: int, cuts: list[LatencyEdges], shifts: list[ReplayedShift]) -> weighing.Comparisons:
    """Write the policy's comparisons down, for all rollouts."""
    latency, scores = len(LATENCY_QUANTILES), len(shifts[0].edges)
    names = (
        "error_rate",
        *(f"latency p{q * 100:g}" for q in LATENCY_QUANTILES),
        *(f"predictions {side} edge {i}" for side in ("above", "below") for i in range(scores)),
        "accuracy",
    )
    metrics = ("error_rate", *["latency"] * latency, *["predictions"] * 2 * scores, "accuracy")
    shares = np.array([1 / (len(METRICS) * metrics.count(metric)) for metric in metrics])
    nan = np.full((rows, 1), np.nan)
    uncertain = np.stack([shift.uncertainty for shift in shifts])
    ones = np.ones((rows, 1))
    none = np.zeros((rows, latency))
    return weighing.Comparisons(
        names,
        metrics,
        shares,
        np.hstack(
            [
                ERROR_TOLERATED * ones,
                none,
                SCORE_TOLERATED + uncertain,
                SCORE_TOLERATED + uncertain,
                WRONG_TOLERATED * ones,
            ]
        ),
        np.hstack(
            [ERROR_LIMIT * ones, none, SCORE_LIMIT + uncertain, SCORE_LIMIT + uncertain, WRONG_LIMIT * ones]
        ),
        np.hstack([nan, np.stack([cut.harm_distance for cut in cuts]), *[nan] * (2 * scores + 1)]),
        np.hstack([nan, np.stack([cut.safe_distance for cut in cuts]), *[nan] * (2 * scores + 1)]),
    )


def count(canary: Arm, stable: Arm, mapping: Array) -> weighing.Window:
    """Bring what was served to events."""

    def above(bins: Array) -> Array:
        return np.cumsum(bins[:, ::-1], axis=1)[:, -2::-1]

    total_c, total_s = canary.requests[:, None], stable.requests[:, None]
    slow_c, slow_s = above(canary.latency), above(stable.latency)
    high_c = above(canary.scores)
    high_s = np.einsum("rk,rke->re", stable.scores, mapping)
    canary_events = [canary.errors[:, None], slow_c[:, 0::2], high_c, total_c - high_c, canary.wrong[:, None]]
    safe_events = [canary.errors[:, None], slow_c[:, 1::2], high_c, total_c - high_c, canary.wrong[:, None]]
    stable_events = [stable.errors[:, None], slow_s, high_s, total_s - high_s, stable.wrong[:, None]]
    width = [part.shape[1] for part in canary_events]
    requests_c = np.repeat(np.hstack([total_c] * 4 + [canary.labelled[:, None]]), width, axis=1)
    requests_s = np.repeat(np.hstack([total_s] * 4 + [stable.labelled[:, None]]), width, axis=1)
    events_s = np.hstack(stable_events)
    return weighing.Window(
        TwoArms(np.hstack(canary_events), requests_c, events_s, requests_s),
        TwoArms(np.hstack(safe_events), requests_c, events_s, requests_s),
    )


@dataclass
class Outcome:
    """How each rollout ended.

    Attributes:
        is_rolled_back: Whether it was.
        is_promoted: Whether it was; neither is a rollout that was still undecided at the end.
        exposed: Requests that the canary served until then.
        windows: How long it took.
    """

    is_rolled_back: npt.NDArray[np.bool_]
    is_promoted: npt.NDArray[np.bool_]
    exposed: Array
    windows: Array


def begin(rollouts: int) -> Outcome:
    """Return outcomes in which nothing has happened."""
    return Outcome(np.zeros(rollouts, bool), np.zeros(rollouts, bool), np.zeros(rollouts), np.zeros(rollouts))


def walk_ours(conditions: Conditions, prepared: Prepared, harm: Harm, seed: int) -> Outcome:
    """Walk rollouts by our analysis, watched after every window."""
    rng = np.random.default_rng([seed, 3])
    rollouts, windows = conditions.requests.shape
    outcome = begin(rollouts)
    rows = np.arange(rollouts)
    step = np.zeros(rollouts, np.intp)
    served = np.zeros(rollouts)
    evidence, asked = prepared.evidence, prepared.asked
    shares = weighing.step_shares(len(STEPS))
    bar = -np.log(LEVEL * (1 - REPLAY_SHARE))
    for t in range(windows):
        canary, stable = draw_window(conditions, rows, t, np.array(STEPS)[step], prepared.edges, harm, rng)
        outcome.exposed[rows] += canary.requests
        outcome.windows[rows] = t + 1
        served += canary.requests
        evidence = weighing.weigh(evidence, asked, count(canary, stable, prepared.mapping[rows]), step)
        log_harm = weighing.total_harm(weighing.harm_of(evidence, shares), asked.shares)
        is_bad = log_harm >= bar
        is_safe = (
            (evidence.safety >= -np.log(1 - POWER)).all(axis=-1) & (served >= MINIMUM_REQUESTS) & ~is_bad
        )
        is_last = step == len(STEPS) - 1
        outcome.is_rolled_back[rows[is_bad]] = True
        outcome.is_promoted[rows[is_safe & is_last]] = True
        evidence = weighing.enter_step(evidence, is_safe)
        served = np.where(is_safe, 0, served)
        step = np.where(is_safe, step + 1, step)
        kept = ~(is_bad | (is_safe & is_last))
        rows, step, served = rows[kept], step[kept], served[kept]
        evidence = _keep(evidence, kept)
        asked = weighing.Comparisons(
            asked.names,
            asked.metrics,
            asked.shares,
            *(
                part[kept]
                for part in (asked.tolerated, asked.limit, asked.harm_distance, asked.safe_distance)
            ),
        )
        if not len(rows):
            break
    return outcome


def _keep(record: KeptRecord, kept: npt.NDArray[np.bool_]) -> KeptRecord:
    values = {name: getattr(record, name) for name in type(record).model_fields}
    return type(record)(
        **{n: _keep(value, kept) if isinstance(value, Record) else value[kept] for n, value in values.items()}
    )


def walk_fixed(
    conditions: Conditions, prepared: Prepared, harm: Harm, seed: int, metric: str
) -> tuple[Array, Array]:
    """Walk the first step without stopping; return each rollout's greatest standardised difference by window.

    The peer tests the same hypotheses of one metric at the same share of the level, once, by the two-sample z
    test stratified by window. Where it looks is chosen with hindsight, as the first window at which it has
    the power.

    Returns:
        By window, the share of rollouts that it would reject; and the mean requests that the canary has
        served.
    """
    rng = np.random.default_rng([seed, 3])
    rollouts, windows = conditions.requests.shape
    asked = prepared.asked
    chosen = np.array([name == metric for name in asked.metrics])
    bar = np.array([NormalDist().inv_cdf(1 - LEVEL * share) for share in asked.shares[chosen]])
    rows = np.arange(rollouts)
    share = np.full(rollouts, STEPS[0])
    top = np.zeros((rollouts, chosen.sum()))
    variance = np.zeros_like(top)
    exposed = np.zeros(rollouts)
    rejected, served = [], []
    for t in range(windows):
        canary, stable = draw_window(conditions, rows, t, share, prepared.edges, harm, rng)
        exposed += canary.requests
        c = TwoArms(*(part[:, chosen] for part in count(canary, stable, prepared.mapping).harm))
        n, m = np.maximum(c.canary_requests, 1), np.maximum(c.stable_requests, 1)
        p, q = c.canary_events / n, c.stable_events / m
        top += n * (p - q - asked.tolerated[:, chosen])
        pooled = (c.canary_events + c.stable_events) / (n + m)
        variance += n * pooled * (1 - pooled) * (1 + n / m)
        z = top / np.sqrt(np.maximum(variance, 1e-12))
        rejected.append(float((z >= bar).any(axis=1).mean()))
        served.append(float(exposed.mean()))
        if len(rejected) > 5 and min(rejected[-5:]) > 0.999:
            break
    return np.array(rejected), np.array(served)


Check = Callable[[Arm, Arm], npt.NDArray[np.bool_]]


def walk_thresholds(
    conditions: Conditions,
    prepared: Prepared,
    harm: Harm,
    seed: int,
    *,
    weights: tuple[float, ...],
    windows_a_check: int,
    checks_a_weight: int,
    failures_allowed: int,
    check: Check,
) -> Outcome:
    """Walk rollouts by a rule that holds the canary's own numbers against fixed thresholds.

    Args:
        conditions: What both arms share.
        prepared: For the edges.
        harm: In what the canary is worse.
        seed: Of the random numbers.
        weights: The canary's shares, one after the other; after the last it is promoted.
        windows_a_check: Windows whose counts a check looks at.
        checks_a_weight: Passed checks after which the weight goes up.
        failures_allowed: Failed checks that are still borne.
        check: Whether a check has failed, from the window's arms.
    """
    rng = np.random.default_rng([seed, 3])
    rollouts, windows = conditions.requests.shape
    outcome = begin(rollouts)
    rows = np.arange(rollouts)
    at, passed, failed = (np.zeros(rollouts, np.intp) for _ in range(3))
    for start in range(0, windows - windows_a_check + 1, windows_a_check):
        arms = [
            draw_window(conditions, rows, t, np.array(weights)[at], prepared.edges, harm, rng)
            for t in range(start, start + windows_a_check)
        ]
        canary, stable = (
            Arm(*(sum(getattr(arm[i], name) for arm in arms) for name in Arm.__dataclass_fields__))
            for i in (0, 1)
        )
        outcome.exposed[rows] += canary.requests
        outcome.windows[rows] = start + windows_a_check
        is_failed = check(canary, stable)
        failed += is_failed
        passed += ~is_failed
        is_bad = failed > failures_allowed
        goes_up = (passed >= checks_a_weight) & ~is_bad
        at, passed = np.where(goes_up, at + 1, at), np.where(goes_up, 0, passed)
        is_done = at >= len(weights)
        outcome.is_rolled_back[rows[is_bad]] = True
        outcome.is_promoted[rows[is_done]] = True
        kept = ~(is_bad | is_done)
        rows, at, passed, failed = rows[kept], at[kept], passed[kept], failed[kept]
        if not len(rows):
            break
    return outcome
