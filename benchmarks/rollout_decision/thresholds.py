"""Flagger's and Argo Rollouts' rules: the canary's own numbers against thresholds that somebody typed.

Source:
    Flagger 1.4x: docs/gitbook/tutorials/istio-progressive-delivery.md (interval 1m, threshold 5, stepWeight
    10, maxWeight 50; success rate at least 99 %, p99 at most 500 ms), and pkg/controller/scheduler.go: a
    failed check keeps the weight and is counted, the count is never taken back while it goes on, and at
    `threshold` it is rolled back. Argo Rollouts 1.9: docs/features/analysis.md, background analysis (weights
    20, 40, 60, 80 with pauses of 10m; success rate at least 95 % every 5m, failureLimit 3), and
    analysis/analysis.go: it fails with more failures than the limit. Its example starts the analysis at the
    second step; here it starts at the first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from benchmarks.rollout_decision.rules import ERROR_LIMIT, LATENCY_LIMIT, Outcome, Prepared, walk_thresholds
from benchmarks.rollout_decision.traffic import ERROR_RATE, LATENCY_P99_SECONDS, Arm, Conditions, Harm


@dataclass(frozen=True)
class ThresholdRule:
    """A rule with its thresholds.

    Attributes:
        name: Whose.
        weights: The canary's shares, one after the other.
        windows_a_check: Windows of half a minute that a check looks at.
        checks_a_weight: Checks that must pass before the weight goes up.
        failures_allowed: Failed checks that are still borne.
        greatest_error_rate: Of the canary.
        greatest_p99_seconds: Of the canary; without one, latency is not looked at.
    """

    name: str
    weights: tuple[float, ...]
    windows_a_check: int
    checks_a_weight: int
    failures_allowed: int
    greatest_error_rate: float
    greatest_p99_seconds: float | None

    def walk(self, conditions: Conditions, prepared: Prepared, harm: Harm, seed: int) -> Outcome:
        """Walk rollouts by this rule."""
        bound = self.greatest_p99_seconds or np.inf
        rows = len(conditions.requests)
        edges = replace(prepared.edges, canary_latency=np.full((rows, 1), min(bound, 1e6)))

        def is_failed(canary: Arm, stable: Arm) -> npt.NDArray[np.bool_]:
            too_many = canary.errors > self.greatest_error_rate * canary.requests
            too_slow = canary.latency[:, -1] > 0.01 * canary.requests
            # Without traffic their queries have no value: Flagger takes it for a failure, Argo for an error.
            return too_many | too_slow | (canary.requests == 0)

        return walk_thresholds(
            conditions,
            replace(prepared, edges=edges),
            harm,
            seed,
            weights=self.weights,
            windows_a_check=self.windows_a_check,
            checks_a_weight=self.checks_a_weight,
            failures_allowed=self.failures_allowed,
            check=is_failed,
        )


_FLAGGER = ThresholdRule("Flagger, documented", (0.1, 0.2, 0.3, 0.4, 0.5), 2, 1, 4, 0.01, 0.5)
_ARGO = ThresholdRule("Argo, documented", (0.2, 0.4, 0.6, 0.8), 10, 2, 3, 0.05, None)
_TUNED_ERRORS, _TUNED_P99 = ERROR_RATE + ERROR_LIMIT, LATENCY_P99_SECONDS * LATENCY_LIMIT

THRESHOLD_RULES = (
    _FLAGGER,
    replace(
        _FLAGGER, name="Flagger, tuned", greatest_error_rate=_TUNED_ERRORS, greatest_p99_seconds=_TUNED_P99
    ),
    _ARGO,
    replace(_ARGO, name="Argo, tuned", greatest_error_rate=_TUNED_ERRORS, greatest_p99_seconds=_TUNED_P99),
)
