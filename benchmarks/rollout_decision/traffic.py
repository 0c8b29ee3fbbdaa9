"""Simulated traffic that is autocorrelated: rate, errors, latency and inputs drift, and have bad hours.

What is drawn first is what both arms share, once for every rule that is compared: the *conditions* of each
window. Then each rule's own split decides how many of a window's requests the canary gets.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

Array = npt.NDArray[np.float64]

# A window is a batch of the analysis: half a minute at 20 requests a second.
WINDOW_SECONDS = 30
_REQUESTS = 600.0
ERROR_RATE = 0.01
_LATENCY_SECONDS, _LATENCY_SPREAD = 0.020, 0.5
LATENCY_P99_SECONDS = float(_LATENCY_SECONDS * np.exp(2.326 * _LATENCY_SPREAD))
_SCORE_SPREAD = 1.5
_WRONG_RATE, _LABELLED = 0.10, 0.3
# The candidate is another model: it predicts differently, and a replay has told how.
_SLOPE, _INTERCEPT, _NOISE = 1.1, 0.3, 0.3
# Within a window, requests come in bursts that share their fate too.
_BURSTS = 3


@dataclass(frozen=True)
class Weather:
    """How conditions change from window to window: first-order autoregressions, and incidents.

    Attributes:
        memory: Correlation of neighbouring windows.
        rate: Standard deviation of the logarithm of the request rate.
        errors: Of the log-odds of an error.
        latency: Of the logarithm of the latency.
        inputs: Of the mean of the stable model's scores.
        incidents: Begin in a window with this probability, and last for ten minutes.
        stalls: A minute in each arm, by itself: pauses in which all of that arm's requests are slow.
        stall_seconds: How long they last in the mean; the lengths are exponential.
    """

    memory: float
    rate: float
    errors: float
    latency: float
    inputs: float
    incidents: float
    stalls: float = 0.0
    stall_seconds: float = 0.0

    @property
    def stalled_share(self) -> float:
        """The share of an arm's time in stalls."""
        return self.stalls * self.stall_seconds / 60


CALM = Weather(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
DRIFTING = Weather(0.95, 0.4, 0.5, 0.15, 0.2, 0.0)
ROUGH = Weather(0.95, 0.4, 0.5, 0.15, 0.2, 0.01)
STALLING = replace(ROUGH, stalls=1.0, stall_seconds=1.0)
RARELY_STALLING = replace(ROUGH, stalls=0.1, stall_seconds=5.0)
_INCIDENT_WINDOWS = 20


@dataclass(frozen=True)
class Harm:
    """In what the canary is worse.

    Attributes:
        errors: Added to its error rate.
        latency: Its latency, multiplied.
        scores: Added to its scores, in the log-odds, against what the replay told.
        wrong: Added to its rate of wrong predictions.
    """

    errors: float = 0.0
    latency: float = 1.0
    scores: float = 0.0
    wrong: float = 0.0


@dataclass(frozen=True)
class Conditions:
    """What both arms share.

    Shapes:
        requests: (rollouts, windows). The others: (rollouts, windows, bursts).
    """

    weather: Weather
    requests: Array
    errors: Array
    latency: Array
    inputs: Array


def draw_conditions(
    weather: Weather, rollouts: int, windows: int, seed: int, load: float = 1.0
) -> Conditions:
    """Draw what both arms share."""
    rng = np.random.default_rng([seed, 1])

    def drift(deviation: float, burst: float = 0.5) -> Array:
        steps = rng.normal(size=(rollouts, windows))
        path = np.empty_like(steps)
        path[:, 0] = steps[:, 0]
        renewed = np.sqrt(1 - weather.memory**2)
        for t in range(1, windows):
            path[:, t] = weather.memory * path[:, t - 1] + renewed * steps[:, t]
        bursts = rng.normal(size=(rollouts, windows, _BURSTS)) * burst
        result: Array = deviation * (path[..., None] + bursts)
        return result

    begins = rng.random((rollouts, windows)) < weather.incidents
    total = np.cumsum(begins, axis=1)
    before = np.pad(total, ((0, 0), (_INCIDENT_WINDOWS, 0)))[:, :windows]
    incident = (total > before)[..., None]
    rate = _REQUESTS * load * np.exp(drift(weather.rate, burst=0.0)[..., 0])
    errors = 1 / (
        1 + np.exp(-(np.log(ERROR_RATE / (1 - ERROR_RATE)) + drift(weather.errors) + 1.5 * incident))
    )
    latency = _LATENCY_SECONDS * np.exp(drift(weather.latency) + 0.4 * incident)
    return Conditions(weather, rng.poisson(rate).astype(float), errors, latency, drift(weather.inputs))


@dataclass(frozen=True)
class Edges:
    """Where values are cut, by rollout.

    Shapes:
        stable_latency, canary_latency: (rollouts, edges), ascending. Likewise stable_scores and
            canary_scores.
    """

    stable_latency: Array
    canary_latency: Array
    stable_scores: Array
    canary_scores: Array

    def of(self, rows: npt.NDArray[np.intp]) -> Edges:
        """Return those of some rollouts."""
        return Edges(
            self.stable_latency[rows],
            self.canary_latency[rows],
            self.stable_scores[rows],
            self.canary_scores[rows],
        )


@dataclass(frozen=True)
class Arm:
    """What an arm served in a window.

    Shapes:
        requests, errors, labelled, wrong: (rollouts). latency, scores: (rollouts, bins), one more than edges.
    """

    requests: Array
    errors: Array
    latency: Array
    scores: Array
    labelled: Array
    wrong: Array


def draw_window(
    conditions: Conditions,
    rows: npt.NDArray[np.intp],
    t: int,
    canary_share: Array,
    edges: Edges,
    harm: Harm,
    rng: np.random.Generator,
) -> tuple[Arm, Arm]:
    """Draw what the canary and the stable version serve in a window.

    Args:
        conditions: Of all rollouts.
        rows: Those that still go on.
        t: The window.
        canary_share: Of the traffic, by rollout.
        edges: Of all rollouts.
        harm: In what the canary is worse.
        rng: Random numbers.
    """
    requests = conditions.requests[rows, t].astype(np.int64)
    by_burst = rng.multinomial(requests, np.full(_BURSTS, 1 / _BURSTS))
    canary = rng.binomial(by_burst, canary_share[:, None])
    cut = edges.of(rows)
    at = (rows, t)
    errors, latency, inputs = conditions.errors[at], conditions.latency[at], conditions.inputs[at]
    score_mean = _SLOPE * inputs + _INTERCEPT + harm.scores
    return (
        _draw_arm(
            canary,
            np.minimum(errors + harm.errors, 1),
            latency * harm.latency,
            cut.canary_latency,
            score_mean,
            float(np.hypot(_SLOPE * _SCORE_SPREAD, _NOISE)),
            cut.canary_scores,
            _WRONG_RATE + harm.wrong,
            conditions.weather,
            rng,
        ),
        _draw_arm(
            by_burst - canary,
            errors,
            latency,
            cut.stable_latency,
            inputs,
            _SCORE_SPREAD,
            cut.stable_scores,
            _WRONG_RATE,
            conditions.weather,
            rng,
        ),
    )


def _draw_arm(
    requests: npt.NDArray[np.int64],
    error_rate: Array,
    latency: Array,
    latency_edges: Array,
    score_mean: Array,
    score_spread: float,
    score_edges: Array,
    wrong_rate: float,
    weather: Weather,
    rng: np.random.Generator,
) -> Arm:
    total = requests.sum(axis=1)
    stalled = _draw_stalled(requests, weather, rng)
    slow = np.zeros((len(total), latency_edges.shape[1] + 1))
    slow[:, -1] = stalled.sum(axis=1)
    labelled = rng.binomial(total, _LABELLED)
    return Arm(
        total.astype(float),
        rng.binomial(requests, error_rate).sum(axis=1).astype(float),
        slow + _draw_bins(requests - stalled, np.log(latency), _LATENCY_SPREAD, np.log(latency_edges), rng),
        _draw_bins(requests, score_mean, score_spread, score_edges, rng),
        labelled.astype(float),
        rng.binomial(labelled, wrong_rate).astype(float),
    )


def _draw_stalled(
    requests: npt.NDArray[np.int64], weather: Weather, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Draw how many of each burst's requests came while their arm stood still."""
    if not weather.stalls:
        return np.zeros_like(requests)
    seconds = WINDOW_SECONDS / _BURSTS
    stalls = rng.poisson(weather.stalls * seconds / 60, requests.shape)
    # A sum of exponential lengths; of none, it is zero.
    length = rng.gamma(stalls, weather.stall_seconds)
    return rng.binomial(requests, np.minimum(length / seconds, 1.0))


def _draw_bins(
    requests: npt.NDArray[np.int64], mean: Array, spread: float, edges: Array, rng: np.random.Generator
) -> Array:
    below = ndtr((edges[:, None, :] - mean[..., None]) / spread)
    shares = np.diff(np.pad(below, ((0, 0), (0, 0), (1, 1)), constant_values=(0, 1)), axis=-1)
    return rng.multinomial(requests, shares).sum(axis=1).astype(float)


def draw_baseline_latencies(
    conditions: Conditions, rows: int, requests: int, rng: np.random.Generator
) -> Array:
    """Draw latencies that the stable version had before the rollout, under the first window's conditions."""
    level = conditions.latency[:rows, 0, :].mean(axis=1)
    result: Array = level[:, None] * np.exp(_LATENCY_SPREAD * rng.normal(size=(rows, requests)))
    if conditions.weather.stalls:
        result += rng.random(result.shape) < conditions.weather.stalled_share
    return result


def draw_replay(
    conditions: Conditions, rows: int, pairs: int, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Draw the scores of the same logged requests through both models."""
    mean = conditions.inputs[:rows, 0, :].mean(axis=1)
    stable = mean[:, None] + _SCORE_SPREAD * rng.normal(size=(rows, pairs))
    candidate = _SLOPE * stable + _INTERCEPT + _NOISE * rng.normal(size=(rows, pairs))
    return stable, candidate
