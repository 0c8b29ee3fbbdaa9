"""The same requests through both models: how the candidate's predictions differ, before anybody sees them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import httpx
import numpy as np

from mulgil.errors import TemporaryError, describe
from mulgil.rollout.comparisons import ReplayedShift, learn_shift
from mulgil.rollout.evidence import Array
from mulgil.rollout.record import ReplayReport
from mulgil.serving.requests import predict_url

Row = Mapping[str, Any]
# What a version answers to a row: its score, or `None` where it refused or failed.
Ask = Callable[[Row], float | None]

# Fewer pairs tell nothing that a limit could be held against.
_LEAST_PAIRS = 50
_ANSWER_SECONDS = 10.0
_MOVED_SHOWN = 5


def replay(
    rows: Iterable[Row], source: str, stable: Ask, canary: Ask, level: float, bounds: Array | None = None
) -> tuple[ReplayReport | None, ReplayedShift | None]:
    """Ask both versions the same, one after the other, and compare.

    Args:
        rows: Raw columns.
        source: Where they came from, in words.
        stable: Asks the stable version.
        canary: Asks the candidate.
        level: Error level of what is learnt for the live comparison.
        bounds: Of the buckets in which live scores are counted; `None` where each is known.

    Returns:
        The report, `None` where there was no row; and what the live predictions are held against, `None`
        where too few pairs were answered.
    """
    pairs: list[tuple[int, float, float]] = []
    asked = stable_failures = canary_failures = 0
    for number, row in enumerate(rows):
        before, after = stable(row), canary(row)
        asked += 1
        if before is None:
            stable_failures += 1
        elif after is None:
            canary_failures += 1
        else:
            pairs.append((number, before, after))
    if not asked:
        return None, None
    before_, after_ = (np.array([pair[i] for pair in pairs], dtype=np.float64) for i in (1, 2))
    report = _report(source, asked, stable_failures, canary_failures, pairs, before_, after_)
    is_comparable = len(pairs) >= _LEAST_PAIRS and (bounds is None or len(bounds) > 0)
    shift = learn_shift(before_, after_, level, bounds) if is_comparable else None
    return report, shift


def _report(
    source: str,
    asked: int,
    stable_failures: int,
    canary_failures: int,
    pairs: Sequence[tuple[int, float, float]],
    before: Array,
    after: Array,
) -> ReplayReport:
    difference = after - before if len(pairs) else np.zeros(1)
    size = np.abs(difference)
    moved = sorted(pairs, key=lambda pair: abs(pair[2] - pair[1]), reverse=True)[:_MOVED_SHOWN]
    half, most, greatest = (float(value) for value in np.quantile(size, (0.5, 0.9, 1.0)))
    return ReplayReport(
        source=source,
        requests=asked,
        stable_failures=stable_failures,
        canary_failures=canary_failures,
        mean_difference=float(difference.mean()),
        absolute_quantiles=(half, most, greatest),
        distance=_distance(before, after),
        moved_most=tuple({"row": row, "stable": a, "candidate": b} for row, a, b in moved),
    )


def _distance(before: Array, after: Array) -> float:
    """Return the greatest difference between the shares above any score (Kolmogorov's distance)."""
    if not len(before):
        return 0.0
    scores = np.concatenate([before, after])
    shares = (np.searchsorted(np.sort(arm), scores, side="right") / len(arm) for arm in (before, after))
    return float(np.abs(np.subtract(*shares)).max())


def score_of(prediction: Any) -> float | None:
    """Bring a prediction to one number: itself, or the greatest of several, as of probabilities."""
    if isinstance(prediction, bool):
        return float(prediction)
    if isinstance(prediction, int | float):
        return float(prediction) if math.isfinite(prediction) else None
    if isinstance(prediction, Sequence) and not isinstance(prediction, str):
        scores = [score for score in map(score_of, prediction) if score is not None]
        return max(scores, default=None)
    if isinstance(prediction, Mapping):
        return score_of(list(prediction.values()))
    return None


def ask_by_http(client: httpx.Client, base_url: str, model: str, version: str) -> Ask:
    """Return what asks one version by KServe's V1 protocol.

    Args:
        client: Its connections.
        base_url: Where that version alone answers.
        model: The model's name there.
        version: The version that must answer, where it says which it is.
    """
    url = predict_url(base_url, model)

    def ask(row: Row) -> float | None:
        try:
            answer = client.post(url, json={"instances": [dict(row)]}, timeout=_ANSWER_SECONDS)
        except httpx.HTTPError as exc:
            raise TemporaryError(
                describe(f"Version {version} does not answer at {url}", received=str(exc))
            ) from exc
        answered_by = answer.headers.get("x-model-version", version)
        if answered_by != version:
            raise TemporaryError(
                describe(
                    f"Another version answers at {url}",
                    expected=version,
                    received=f"X-Model-Version: {answered_by}",
                )
            )
        if answer.status_code != httpx.codes.OK:
            return None
        try:
            (prediction,) = answer.json()["predictions"]
        except (ValueError, KeyError, TypeError):
            return None
        return score_of(prediction)

    return ask
