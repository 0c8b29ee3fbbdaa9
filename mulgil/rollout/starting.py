"""A rollout's begin: what serves, what is to serve, and whether there is anything to roll out gradually."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mulgil.contract.rollout import Rollout, RolloutMetric, RolloutStrategy
from mulgil.errors import InputError, describe
from mulgil.rollout.drivers import Driver, require_capabilities
from mulgil.rollout.labels import LabelFiles
from mulgil.rollout.progress import BASELINE_SECONDS, LEARNT_REQUESTS
from mulgil.rollout.record import RolloutRecord
from mulgil.rollout.releases import Manifest, strip, version_of
from mulgil.rollout.sources import Arms, MetricSource
from mulgil.rollout.store import RolloutStore


@dataclass(frozen=True)
class Plan:
    """Whether a new version is rolled out gradually.

    Attributes:
        is_gradual: Whether it is.
        reason: Why, in words.
    """

    is_gradual: bool
    reason: str


def plan_rollout(
    policy: Rollout, stable: Manifest | None, candidate: Manifest, source: MetricSource, now: float
) -> Plan:
    """Decide whether a new version is tried on a part of the traffic first.

    Args:
        policy: The policy.
        stable: What serves; `None` where nothing does.
        candidate: The new object.
        source: Where the numbers come from.
        now: Seconds since the epoch.
    """
    if stable is None:
        return Plan(False, "It is the first version: nothing serves that it could be compared with.")
    versions = version_of(stable), version_of(candidate)
    if versions[0] == versions[1]:
        return Plan(False, f"Version {versions[1]} is what serves.")
    if policy.strategy is RolloutStrategy.IMMEDIATE:
        return Plan(False, "The policy's strategy is `immediate`.")
    if policy.strategy is RolloutStrategy.CANARY:
        return Plan(True, "The policy's strategy is `canary`.")
    metadata = candidate["metadata"]
    arms = Arms(metadata["name"], metadata["namespace"], *versions)
    served = source.read_before(arms, BASELINE_SECONDS, now).stable.requests
    if served < LEARNT_REQUESTS:
        return Plan(
            False,
            f"Version {versions[0]} has served {served:,.0f} requests lately, and fewer than "
            f"{LEARNT_REQUESTS:,.0f} give nothing to compare with: the new version takes over at once.",
        )
    return Plan(True, f"Version {versions[0]} has served {served:,.0f} requests lately.")


def start_rollout(
    store: RolloutStore,
    policy: Rollout,
    candidate: Manifest,
    driver: Driver,
    source: MetricSource,
    *,
    labels: LabelFiles | None = None,
    source_settings: dict[str, Any],
    dataset_path: str | None,
    now: float,
) -> RolloutRecord:
    """Write a rollout down; nothing is changed yet.

    Args:
        store: Where.
        policy: How it goes.
        candidate: The object of the new version.
        driver: The platform.
        source: Where its numbers come from.
        labels: Where labels come; those that are there are checked.
        source_settings: What opens that source again.
        dataset_path: Where rows are to replay while nothing is logged.
        now: Seconds since the epoch.

    Raises:
        InputError: The policy asks for more than the platform or the source can do, nothing serves, or the
            version that serves is the same.
        PermanentError: Another rollout of the same service is under way, or a canary would get no traffic.
    """
    require_capabilities(policy, driver)
    _require_metrics(policy, source.measures | ({RolloutMetric.ACCURACY} if labels is not None else set()))
    if labels is not None:
        labels.check()
    driver.form(candidate)
    driver.require_support(candidate)
    metadata = candidate["metadata"]
    name, namespace = metadata["name"], metadata["namespace"]
    there = driver.read(name, namespace)
    if there is None:
        raise InputError(
            describe(
                f"Nothing serves {namespace}/{name}, so there is nothing to compare a candidate with",
                next_step="apply the first version: `mulgil run`, or `mulgil apply -f FILE`",
            )
        )
    store.require_none_under_way(name, namespace)
    stable = strip(there)
    if labels is not None and labels.needs_logger and "logger" not in stable["spec"]["predictor"]:
        raise InputError(
            describe(
                f"Labels are joined with recorded predictions, and {namespace}/{name} records none",
                expected="serving.record_predictions: true in project.yaml, or spec.predictor.logger",
                received="rollout.labels, and no logger",
            )
        )
    stable_version, candidate_version = version_of(stable), version_of(candidate)
    if stable_version == candidate_version:
        raise InputError(
            describe(
                f"Version {candidate_version} of {name} is the one that serves",
                expected="another model version",
                received=f"MODEL_VERSION={candidate_version}",
            )
        )
    rollout = RolloutRecord(
        rollout_id=f"{name}-{datetime.fromtimestamp(now, UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}",
        service=name,
        namespace=namespace,
        driver=driver.name,
        source=source_settings,
        policy=policy,
        stable=stable,
        candidate=strip(candidate),
        stable_version=stable_version,
        candidate_version=candidate_version,
        dataset_path=dataset_path,
        created_at=now,
        deadline_at=now + policy.deadline_hours * 3600,
        since=now,
    ).note(now, f"Version {candidate_version} is to take over from version {stable_version}.")
    store.write(rollout)
    return rollout


def _require_metrics(policy: Rollout, measures: frozenset[RolloutMetric]) -> None:
    missing = [metric.value for metric in policy.required_metrics if metric not in measures]
    if missing:
        raise InputError(
            describe(
                "The rollout policy requires a metric that is not measured here",
                expected=f"among {', '.join(sorted(metric.value for metric in measures))}",
                received=f"rollout.required_metrics: {', '.join(missing)}",
                next_step="leave it out of required_metrics, or choose a source that measures it; "
                "accuracy wants rollout.labels",
            )
        )
