"""What the pipeline asks of rollouts: whether a new version needs one, and that it be under way."""

from __future__ import annotations

import os
import time
from pathlib import Path

from mulgil.contract.rollout import Rollout
from mulgil.errors import TemporaryError, describe
from mulgil.rollout.driving import drive
from mulgil.rollout.opening import (
    finish,
    open_driver,
    open_labels,
    open_source,
    source_settings,
    surroundings,
)
from mulgil.rollout.record import RolloutRecord
from mulgil.rollout.releases import Manifest, StandardForm, form_of, version_of
from mulgil.rollout.spawning import ensure_driven
from mulgil.rollout.starting import plan_rollout, start_rollout
from mulgil.rollout.store import Command, RolloutStore

# A rollout that gives way has to bring a server back.
_GIVE_WAY_SECONDS = 120.0
_LOOK_SECONDS = 0.2
# Until a step looks again whether the one that drives is gone.
_TAKE_OVER_SECONDS = 10.0


def reason_for_rollout(policy: Rollout, candidate: Manifest) -> str | None:
    """Return why a new version is to be rolled out step by step; `None` where it takes over at once.

    In a cluster it does where `MULGIL_PROMETHEUS_URL` does not say who counts its requests.
    """
    driver, prometheus_url = _choose_platform(candidate)
    if driver != "local" and prometheus_url is None:
        return None
    metadata = candidate["metadata"]
    other = _open_store(driver, candidate).under_way(metadata["name"], metadata["namespace"])
    if other is not None:
        return f"The rollout {other.rollout_id} of version {other.candidate_version} is under way."
    there = open_driver(driver).read(metadata["name"], metadata["namespace"])
    source = open_source(source_settings(driver, prometheus_url))
    if there is not None and "url" not in there.get("status", {}):
        # What does not answer serves nobody, and cannot be compared with.
        return None
    plan = plan_rollout(policy, there, candidate, source, time.time())
    return plan.reason if plan.is_gradual else None


def begin_rollout(policy: Rollout, candidate: Manifest, dataset_path: Path | None) -> RolloutRecord | None:
    """See that a new version's rollout is under way; `None` where the version serves already.

    One of another version of the same service gives way. On a cluster, where what a step starts ends with its
    container, it is driven to its end here; a step that was killed goes on with it once it is started again.
    """
    driver, prometheus_url = _choose_platform(candidate)
    store, platform = _open_store(driver, candidate), open_driver(driver)
    metadata, version = candidate["metadata"], version_of(candidate)
    other = store.under_way(metadata["name"], metadata["namespace"])
    if other is not None and other.candidate_version == version:
        return _see_to(store, other)
    if other is not None:
        _give_way(store, other)
    there = platform.read(metadata["name"], metadata["namespace"])
    if there is not None and version_of(there) == version:
        return None
    settings = source_settings(driver, prometheus_url)
    rollout = start_rollout(
        store,
        policy,
        candidate,
        platform,
        open_source(settings),
        labels=open_labels(policy, driver),
        source_settings=settings,
        dataset_path=None if dataset_path is None else str(dataset_path.resolve()),
        now=time.time(),
    )
    return _see_to(store, rollout)


def wait_for_verdict(rollout_id: str, timeout_seconds: float) -> RolloutRecord:
    """Return a rollout when it is over, or when the time is."""
    store, deadline = RolloutStore(), time.monotonic() + timeout_seconds
    while True:
        rollout = store.read(rollout_id)
        if rollout.phase.is_over or time.monotonic() > deadline:
            return rollout
        ensure_driven(store, rollout_id)
        time.sleep(_LOOK_SECONDS)


def _choose_platform(candidate: Manifest) -> tuple[str, str | None]:
    """Return the driver, and where a Prometheus counts."""
    # Kubernetes sets it in every container.
    if not os.environ.get("KUBERNETES_SERVICE_HOST"):
        return "local", None
    driver = "standard" if isinstance(form_of(candidate), StandardForm) else "knative"
    # The settings of a cluster without one have it empty.
    return driver, os.environ.get("MULGIL_PROMETHEUS_URL") or None


def _open_store(driver: str, candidate: Manifest) -> RolloutStore:
    if driver == "local":
        return RolloutStore()
    from mulgil.rollout.cluster_store import ClusterRolloutStore

    return ClusterRolloutStore(candidate["metadata"]["namespace"])


def _see_to(store: RolloutStore, rollout: RolloutRecord) -> RolloutRecord:
    """See that a rollout is driven: on this machine by a process of its own, on a cluster by this one."""
    if rollout.driver == "local":
        ensure_driven(store, rollout.rollout_id)
        return rollout
    while True:
        try:
            with surroundings(rollout) as around:
                rollout = drive(store, rollout.rollout_id, around, finish=finish)
        except TemporaryError as exc:
            # It could not be written down, so that it goes on from what is.
            print(exc, flush=True)
        if rollout.phase.is_over:
            return rollout
        # Or another step drives it; where that one dies, this one goes on.
        time.sleep(_TAKE_OVER_SECONDS)


def _give_way(store: RolloutStore, other: RolloutRecord) -> None:
    store.command(other.rollout_id, Command.ABORT)
    if other.driver != "local":
        _see_to(store, other)
        return
    if not wait_for_verdict(other.rollout_id, _GIVE_WAY_SECONDS).phase.is_over:
        raise TemporaryError(
            describe(
                f"The rollout {other.rollout_id} of version {other.candidate_version} does not give way",
                next_step=f"read {store.path(other.rollout_id)}",
            )
        )
