"""What a canary is compared by: each metric brought to events that both arms may have.

- `error_rate`: the request failed. Tolerated is a share of at most the stable version's plus
  `tolerated_increase`; the limit is `limit_increase`. `accuracy` is alike, of labelled predictions that were
  wrong.
- `latency`: it took longer than the stable version's own quantile, times `tolerated_ratio` in the canary; for
  the limit, times `limit_ratio`.
- `predictions`: the score is above (or not above) an edge, held against what the replay predicted. Tolerated
  is a difference of `tolerated_distance`; the limit is `limit_distance`.

The distance of predictions is Kolmogorov's, seen at a few edges: the greatest difference between the
shares above a score. A better model predicts differently; so the canary's live scores are held not against
the stable version's but against what the replay of the same requests through both models says that they
should be, given what the stable version answers in the same window. How well a finite replay can know that is
added to what is tolerated, and to the limit.
"""

from __future__ import annotations

from collections.abc import Collection
from statistics import NormalDist

import numpy as np

from mulgil.artifacts import Record
from mulgil.contract.rollout import Rollout, RolloutMetric
from mulgil.rollout.evidence import Array, StoredArray, logit
from mulgil.rollout.weighing import Comparisons

# The level's part that pays for the replay's own sampling error.
REPLAY_SHARE = 0.1
# Where the candidate's replayed scores are cut: chosen by eye; more edges share the same error level.
SCORE_QUANTILES = (0.2, 0.4, 0.6, 0.8)
# Classes of the stable's scores, within which the replayed answers are taken to be alike.
_STABLE_CLASSES = 20


class LatencyEdges(Record):
    """Where latencies are cut, and how far apart in log-odds that sets the arms.

    Attributes:
        stable: Thresholds for the stable version: its own quantiles before the rollout.
        harm_ratio: The canary's thresholds are these times `harm_ratio` for the question of harm.
        safe_ratio: And times `safe_ratio` for that of safety.
        harm_distance: Log-odds by which a canary at the limit is beyond what is tolerated.
        safe_distance: Log-odds by which a canary like the stable version is away from the limit.

    Units:
        Thresholds in seconds.
    """

    stable: StoredArray
    harm_ratio: float
    safe_ratio: float
    harm_distance: StoredArray
    safe_distance: StoredArray


def cut_latencies(
    baseline: Array, quantiles: tuple[float, ...], tolerated_ratio: float, limit_ratio: float
) -> LatencyEdges:
    """Choose the thresholds from the stable version's own latencies before the rollout.

    Args:
        baseline: The latencies, at least one.
        quantiles: Which are watched.
        tolerated_ratio: How many times as slow is tolerated.
        limit_ratio: How many times as slow must be found.
    """
    thresholds = np.quantile(baseline, quantiles)

    def above(thresholds: Array) -> Array:
        share = (baseline[:, None] > thresholds).mean(axis=0)
        clipped: Array = np.clip(share, 0.5 / len(baseline), 1 - 0.5 / len(baseline))
        return clipped

    own = logit(above(thresholds))
    return LatencyEdges(
        stable=thresholds,
        harm_ratio=tolerated_ratio,
        safe_ratio=limit_ratio,
        harm_distance=logit(above(thresholds * tolerated_ratio / limit_ratio)) - own,
        safe_distance=own - logit(above(thresholds * limit_ratio)),
    )


class ReplayedShift(Record):
    """What the replay predicts for the canary's scores, given the stable's.

    Attributes:
        edges: Scores at which the canary's are cut.
        classes: Edges between the classes of the stable's scores.
        above: Share of the candidate's replayed scores above each edge, by the class of the stable's score.
        uncertainty: How far the share above each edge may be off because the replay is finite.

    Shapes:
        edges, uncertainty: (edges). classes: (classes - 1). above: (classes, edges).
    """

    edges: StoredArray
    classes: StoredArray
    above: StoredArray
    uncertainty: StoredArray


def learn_shift(stable: Array, candidate: Array, level: float, bounds: Array | None = None) -> ReplayedShift:
    """Learn from pairs of answers to the same requests how the candidate's follow from the stable's.

    Args:
        stable: The stable version's scores.
        candidate: The candidate's, for the same requests in the same order.
        level: Probability at most with which any of the shares is further off than is said; by the normal
            approximation with Bernstein's term for rare events.
        bounds: Of the buckets in which live scores are counted, ascending; `None` where each is known. Only
            there can scores be cut, then.
    """
    edges = np.unique(np.quantile(candidate, SCORE_QUANTILES))
    classes = np.unique(np.quantile(stable, np.linspace(0, 1, _STABLE_CLASSES + 1)[1:-1]))
    if bounds is not None:
        edges = np.unique(bounds[np.searchsorted(bounds, edges).clip(max=len(bounds) - 1)])
        classes = bounds
    of_class = np.searchsorted(classes, stable)
    is_above = candidate[:, None] > edges
    counts = np.bincount(of_class, minlength=len(classes) + 1).astype(float)
    sums = np.stack([np.bincount(of_class, column, len(classes) + 1) for column in is_above.T], axis=-1)
    overall = is_above.mean(axis=0)
    above = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], overall)
    spread = np.average(above * (1 - above), axis=0, weights=counts)
    deviation = NormalDist().inv_cdf(1 - level / (2 * len(edges)))
    pairs = len(stable)
    return ReplayedShift(
        edges=edges,
        classes=classes,
        above=above,
        uncertainty=deviation * np.sqrt(spread / pairs) + deviation**2 / (3 * pairs),
    )


class Preparation(Record):
    """What was learnt before the first percent, and with it what can be compared.

    Attributes:
        metrics: What the platform measures.
        latency: Where latencies are cut; `None` where they are not compared.
        shift: What the replay predicts; `None` where predictions are not compared.
        greatest_loss: A labelled prediction whose loss is greater is wrong; `None` where none is compared.
    """

    metrics: tuple[RolloutMetric, ...]
    latency: LatencyEdges | None = None
    shift: ReplayedShift | None = None
    greatest_loss: float | None = None


def replay_level(policy: Rollout) -> float:
    """Return the part of the error level that pays for the replay's own sampling error."""
    return policy.false_rollback_level * REPLAY_SHARE


def compare(policy: Rollout, prepared: Preparation) -> Comparisons:
    """Write down what is asked of the canary.

    Each metric that is compared has the same share of the error level, and each comparison within it.
    """
    rows: list[tuple[str, RolloutMetric, float, float, float, float]] = []
    nan = float("nan")
    for metric in compared(prepared):
        match metric:
            case RolloutMetric.ERROR_RATE | RolloutMetric.ACCURACY:
                limits = policy.error_rate if metric is RolloutMetric.ERROR_RATE else policy.accuracy
                rows.append(
                    (metric.value, metric, limits.tolerated_increase, limits.limit_increase, nan, nan)
                )
            case RolloutMetric.LATENCY:
                assert prepared.latency is not None
                cut = prepared.latency
                for quantile, harm, safe in zip(
                    policy.latency.quantiles, cut.harm_distance, cut.safe_distance, strict=True
                ):
                    rows.append((f"latency p{quantile * 100:g}", metric, 0.0, 0.0, float(harm), float(safe)))
            case RolloutMetric.PREDICTIONS:
                assert prepared.shift is not None
                for side in ("above", "at most"):
                    for edge, unsure in zip(prepared.shift.edges, prepared.shift.uncertainty, strict=True):
                        tolerated = policy.predictions.tolerated_distance + float(unsure)
                        limit = policy.predictions.limit_distance + float(unsure)
                        rows.append((f"predictions {side} {edge:.4g}", metric, tolerated, limit, nan, nan))
    names, metrics, tolerated_, limit_, harm_, safe_ = zip(*rows, strict=True)
    shares = [1 / (len(set(metrics)) * metrics.count(metric)) for metric in metrics]
    arrays = (np.array(column, dtype=np.float64) for column in (shares, tolerated_, limit_, harm_, safe_))
    return Comparisons(names, tuple(metric.value for metric in metrics), *arrays)


def compared(prepared: Preparation) -> Collection[RolloutMetric]:
    """Return the metrics that are measured and for which what is needed was learnt."""
    missing = {
        metric
        for metric, learnt in (
            (RolloutMetric.LATENCY, prepared.latency),
            (RolloutMetric.PREDICTIONS, prepared.shift),
            (RolloutMetric.ACCURACY, prepared.greatest_loss),
        )
        if learnt is None
    }
    return tuple(metric for metric in RolloutMetric if metric in prepared.metrics and metric not in missing)
