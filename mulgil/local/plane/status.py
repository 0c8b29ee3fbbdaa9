"""The object's `status`, in the fields that KServe fills: a pure function of what the plane knows.

Source:
    `InferenceServiceStatus` of https://github.com/kserve/kserve/blob/v0.20.0/pkg/apis/serving/v1beta1
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from mulgil.local.plane.objects import RUNTIME
from mulgil.local.plane.revisions import Failure, Phase, Revision, ServiceState

Condition = tuple[str, str, str]

_TRUE = ("True", "", "")


def fill_status(state: ServiceState, *, url: str, is_up: bool, is_routed: bool, now: float) -> dict[str, Any]:
    """Write the status.

    Args:
        state: What is known; its own `status` is the one before.
        url: Where the service answers.
        is_up: Whether the plane runs at all.
        is_routed: Whether Envoy works with the routes that the state asks for.
        now: Seconds since the epoch.
    """
    newest, serving = state.newest, state.serving
    latest = _latest_condition(newest, is_up=is_up)
    predictor = _predictor_condition(state, latest, is_up=is_up)
    ingress = _ingress_condition(is_up=is_up, is_routed=is_routed and serving is not None)
    ready = next((condition for condition in (predictor, ingress) if condition != _TRUE), _TRUE)
    status: dict[str, Any] = {
        "observedGeneration": state.observed_generation,
        "conditions": _conditions(
            state.status.get("conditions", []),
            {
                "IngressReady": ingress,
                "LatestDeploymentReady": latest,
                "PredictorReady": predictor,
                "Ready": ready,
            },
            now,
        ),
        "components": {"predictor": _component(state, url)},
        "modelStatus": _model_status(state),
        "servingRuntimeName": RUNTIME,
    }
    if serving is not None:
        status |= {"url": url, "address": {"url": url}}
    return status


def is_ready(status: dict[str, Any], generation: int) -> bool:
    """Whether the status says that the newest that was asked for is served."""
    conditions = {condition["type"]: condition["status"] for condition in status.get("conditions", [])}
    return conditions.get("Ready") == "True" and status["observedGeneration"] == generation


def failure_of(status: dict[str, Any], generation: int) -> str | None:
    """Return why the newest that was asked for cannot be served; `None` where it still may be."""
    model = status.get("modelStatus", {})
    if model.get("transitionStatus") != "BlockedByFailedLoad" or status["observedGeneration"] != generation:
        return None
    return str(model["lastFailureInfo"]["message"])


def _latest_condition(newest: Revision | None, *, is_up: bool) -> Condition:
    if newest is None or not is_up:
        return "False", "Stopped", "The serving plane is down: `mulgil up` starts it."
    if newest.phase is Phase.READY:
        return _TRUE
    if newest.has_failed:
        return "False", "RevisionFailed", f"Revision {newest.name} does not come up."
    return "Unknown", "RevisionStarting", f"Revision {newest.name} is starting."


def _predictor_condition(state: ServiceState, latest: Condition, *, is_up: bool) -> Condition:
    serving = state.serving
    if is_up and serving is not None and serving.phase is not Phase.READY:
        return "False", "ServerRestarting", f"The server of revision {serving.name} is being restarted."
    return latest


def _ingress_condition(*, is_up: bool, is_routed: bool) -> Condition:
    if not is_up:
        return "False", "Stopped", "The serving plane is down: `mulgil up` starts it."
    return _TRUE if is_routed else ("Unknown", "IngressNotConfigured", "Envoy has no route to it yet.")


def _conditions(
    before: list[dict[str, str]], wanted: dict[str, Condition], now: float
) -> list[dict[str, str]]:
    known = {condition["type"]: condition for condition in before}
    result = []
    for name, (status, reason, message) in wanted.items():
        old = known.get(name, {})
        since = old["lastTransitionTime"] if old.get("status") == status else write_time(now)
        condition = {"type": name, "status": status, "lastTransitionTime": since}
        if reason:
            condition |= {"reason": reason, "message": message}
        result.append(condition)
    return result


def _component(state: ServiceState, url: str) -> dict[str, Any]:
    names = {
        "latestCreatedRevision": state.newest.name if state.newest else None,
        "latestReadyRevision": state.latest_ready,
        "latestRolledoutRevision": state.rolled_out,
        "previousRolledoutRevision": state.previous_rolled_out,
    }
    component: dict[str, Any] = {key: name for key, name in names.items() if name is not None}
    if state.latest_ready is not None:
        component["traffic"] = [{"revisionName": state.latest_ready, "percent": 100, "latestRevision": True}]
        component |= {"url": url, "restUrl": url}
    return component


def _model_status(state: ServiceState) -> dict[str, Any]:
    newest, serving = state.newest, state.serving
    running = [r for r in state.revisions if r.phase is Phase.READY]
    failed = newest is not None and newest.has_failed
    status: dict[str, Any] = {
        "transitionStatus": _transition(newest, failed=failed),
        "states": {
            "activeModelState": "" if serving is None else _model_state(serving),
            "targetModelState": "" if newest is None else _model_state(newest),
        },
        "copies": {"totalCopies": len(running), "failedCopies": int(failed)},
    }
    if newest is not None and newest.failure is not None:
        status["lastFailureInfo"] = _failure_info(newest, newest.failure, was_ready=newest is serving)
    return status


def _transition(newest: Revision | None, *, failed: bool) -> str:
    if failed:
        return "BlockedByFailedLoad"
    return "UpToDate" if newest is not None and newest.phase is Phase.READY else "InProgress"


def _model_state(revision: Revision) -> str:
    if revision.has_failed:
        return "FailedToLoad"
    return {Phase.PENDING: "Pending", Phase.STARTING: "Loading"}.get(revision.phase, "Loaded")


def _failure_info(revision: Revision, failure: Failure, *, was_ready: bool) -> dict[str, Any]:
    info: dict[str, Any] = {
        "modelRevisionName": revision.name,
        "reason": "RuntimeUnhealthy" if was_ready else "ModelLoadFailed",
        "message": failure.message,
        "time": write_time(failure.at),
    }
    return info if failure.exit_code is None else info | {"exitCode": failure.exit_code}


def write_time(seconds: float) -> str:
    """Write a time as Kubernetes does."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
