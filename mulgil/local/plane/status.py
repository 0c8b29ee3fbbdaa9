"""The object's `status`, in the fields that KServe fills: a pure function of what the plane knows.

Source:
    `InferenceServiceStatus` of https://github.com/kserve/kserve/blob/v0.20.0/pkg/apis/serving/v1beta1;
    conditions are sorted by type, and those that do not decide `Ready` have the severity `Info`, as Knative's
    library does it (https://github.com/knative/pkg/blob/main/apis/condition_set.go).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from mulgil.kserve_modes import DeploymentMode
from mulgil.local.plane import standard
from mulgil.local.plane.objects import Model
from mulgil.local.plane.revisions import Failure, Revision, ServiceState, Target
from mulgil.local.plane.wanted import Wanted, Workload


class Condition(NamedTuple):
    """A condition before its time is known."""

    status: str
    reason: str = ""
    message: str = ""


_TRUE = Condition("True")
_FALSE = Condition("False")
_DOWN = Condition("False", "Stopped", "The serving plane is down: `mulgil up` starts it.")
# Knative's living set: what decides `Ready`, and `Ready` itself.
_TERMINAL = frozenset({"Ready", "PredictorReady", "IngressReady"})


def fill_status(
    state: ServiceState, wanted: Wanted, *, url: str, is_up: bool, is_routed: bool, now: float
) -> dict[str, Any]:
    """Write the status.

    Args:
        state: What is known; its own `status` is the one before.
        wanted: What the object asks for.
        url: Where the service answers.
        is_up: Whether the plane runs at all.
        is_routed: Whether Envoy works with the routes that the state asks for.
        now: Seconds since the epoch.
    """
    newest, serving = _newest(state, wanted), state.find(state.latest_ready)
    if not is_up:
        conditions = _conditions_when_down(wanted)
    elif wanted.mode is DeploymentMode.KNATIVE:
        conditions = _knative_conditions(state, newest, serving, is_routed=is_routed)
    else:
        conditions = _standard_conditions(state, wanted, newest, serving, is_routed=is_routed)
    status: dict[str, Any] = {
        "observedGeneration": state.observed_generation,
        "conditions": _write(conditions, state.status.get("conditions", []), now),
        "components": {"predictor": _component(state, wanted, url)},
        "modelStatus": _model_status(newest, serving),
        "deploymentMode": str(wanted.mode),
        "servingRuntimeName": Model.model_validate(
            wanted.predictor.template["predictor"]["model"]
        ).runtime_name,
    }
    if wanted.canaries:
        status["canaryStatuses"] = [_canary_status(state, canary, is_up=is_up) for canary in wanted.canaries]
    if state.traffic:
        status |= {"url": url, "address": {"url": url}}
    return status


def is_ready(status: dict[str, Any], generation: int) -> bool:
    """Whether the status says that the newest that was asked for is served, canaries included."""
    ready = next((c["status"] for c in status.get("conditions", []) if c["type"] == "Ready"), "Unknown")
    return (
        ready == "True"
        and status["observedGeneration"] == generation
        and all(model["transitionStatus"] == "UpToDate" for model in _model_statuses(status))
    )


def is_stopped(status: dict[str, Any]) -> bool:
    """Whether the plane was taken down on purpose."""
    return any(c["type"] == "Stopped" and c["status"] == "True" for c in status.get("conditions", []))


def failure_of(status: dict[str, Any], generation: int) -> str | None:
    """Return why the newest that was asked for cannot be served; `None` where it still may be."""
    if not status or status["observedGeneration"] != generation:
        return None
    for model in _model_statuses(status):
        if model["transitionStatus"] == "BlockedByFailedLoad":
            return str(model["lastFailureInfo"]["message"])
    return None


def write_time(seconds: float) -> str:
    """Write a time as Kubernetes does."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def tag_path(tag: str) -> str:
    """Return the path, below the service's own, that leads to a tagged revision alone."""
    return f"/tags/{tag}"


def revision_path(revision: str) -> str:
    """Return the path, below the service's own, that leads to one revision alone."""
    return f"/revisions/{revision}"


def _newest(state: ServiceState, wanted: Wanted) -> Revision | None:
    return state.newest_of(wanted.predictor.name)


def _knative_conditions(
    state: ServiceState, newest: Revision | None, serving: Revision | None, *, is_routed: bool
) -> dict[str, Condition]:
    configuration = _configuration(newest, serving)
    route = _route(state, is_routed=is_routed)
    # Of Knative's service: what failed is told before what is only not yet known.
    failed = [condition for condition in (configuration, route) if condition.status == "False"]
    unknown = [condition for condition in (configuration, route) if condition.status == "Unknown"]
    predictor = next(iter((*failed, *unknown)), _TRUE)
    is_ready = predictor.status == "True"
    return {
        "IngressReady": _TRUE if is_ready else Condition(predictor.status, "Predictor ingress not created"),
        "LatestDeploymentReady": _across(configuration, "PredictorConfigurationReady"),
        "PredictorConfigurationReady": configuration,
        "PredictorReady": predictor,
        "PredictorRouteReady": route,
        "Ready": predictor,
        "RoutesReady": _across(route, "PredictorRouteReady"),
        "Stopped": _FALSE,
    }


def _configuration(newest: Revision | None, serving: Revision | None) -> Condition:
    """Whether the newest revision is ready, as Knative's configuration says it."""
    if newest is None:
        return Condition("Unknown")
    if newest.has_failed:
        return Condition("False", "RevisionFailed", _failed(newest))
    if newest is not serving:
        return Condition("Unknown", "RevisionStarting", f"Revision {newest.name} is starting.")
    if not newest.is_up:
        return Condition(
            "False", "ServerRestarting", f"The server of revision {newest.name} is being restarted."
        )
    return _TRUE


def _route(state: ServiceState, *, is_routed: bool) -> Condition:
    if not state.traffic:
        return Condition("Unknown", "RevisionMissing", "No revision is ready yet.")
    if state.rolled_out is not None and state.rolled_out not in state.weights:
        return Condition("Unknown", "RevisionStarting", f"Revision {state.rolled_out} is coming back.")
    if not is_routed:
        return Condition("Unknown", "IngressNotConfigured", "Envoy has no route to it yet.")
    return _TRUE


def _across(condition: Condition, name: str) -> Condition:
    return _TRUE if condition.status == "True" else Condition(condition.status, f"{name} not ready")


def _standard_conditions(
    state: ServiceState,
    wanted: Wanted,
    newest: Revision | None,
    serving: Revision | None,
    *,
    is_routed: bool,
) -> dict[str, Condition]:
    predictor = _deployment(newest, serving)
    if serving is None:
        ingress = Condition("False", "Predictor ingress not created")
    else:
        ingress = (
            _TRUE if is_routed else Condition("Unknown", "IngressNotConfigured", "Envoy has no route yet.")
        )
    ready = next((c for c in (predictor, ingress) if c.status != "True"), _TRUE)
    conditions = {"IngressReady": ingress, "PredictorReady": predictor, "Ready": ready, "Stopped": _FALSE}
    if wanted.canaries:
        are_ready = all(_is_answering(state, canary) for canary in wanted.canaries)
        conditions["CanaryPredictorReady"] = Condition(
            "True" if are_ready else "False", "AllCanariesReady" if are_ready else "CanariesNotReady"
        )
    return conditions


def _deployment(newest: Revision | None, serving: Revision | None) -> Condition:
    """Whether the stable predictor is available, as Kubernetes' deployment says it."""
    if newest is not None and newest.has_failed:
        # Kubernetes says so when its patience ends; here the server itself says that it cannot run.
        return Condition("False", "ProgressDeadlineExceeded", _failed(newest))
    if serving is None:
        name = newest.name if newest else ""
        return Condition("Unknown", "ReplicaSetUpdated", f"Revision {name} is starting.")
    if not serving.is_up:
        return Condition(
            "False",
            "MinimumReplicasUnavailable",
            f"The server of revision {serving.name} is being restarted.",
        )
    if newest is not serving:
        return Condition("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    return Condition("True", "NewReplicaSetAvailable", f"Revision {serving.name} is available.")


def _conditions_when_down(wanted: Wanted) -> dict[str, Condition]:
    names = ["IngressReady", "PredictorReady", "Ready"]
    if wanted.mode is DeploymentMode.KNATIVE:
        names += [
            *("LatestDeploymentReady", "PredictorConfigurationReady"),
            *("PredictorRouteReady", "RoutesReady"),
        ]
    elif wanted.canaries:
        names.append("CanaryPredictorReady")
    return dict.fromkeys(names, _DOWN) | {"Stopped": _TRUE}


def _failed(revision: Revision) -> str:
    failure = revision.last_failure
    # What a program says last; what is indented belongs to the line above.
    lines = [line for line in (failure.message if failure else "").splitlines() if line[:1].strip()]
    told = lines[-1].rstrip(". ") if lines else "its server ended"
    return f'Revision "{revision.name}" failed with message: {told}.'


def _write(wanted: dict[str, Condition], before: list[dict[str, str]], now: float) -> list[dict[str, str]]:
    known = {condition["type"]: condition for condition in before}
    result = []
    for name, condition in sorted(wanted.items()):
        old = known.get(name, {})
        since = old["lastTransitionTime"] if old.get("status") == condition.status else write_time(now)
        written = {"type": name, "status": condition.status, "lastTransitionTime": since}
        if name not in _TERMINAL:
            written["severity"] = "Info"
        if condition.reason:
            written["reason"] = condition.reason
        if condition.message:
            written["message"] = condition.message
        result.append(written)
    return result


def _component(state: ServiceState, wanted: Wanted, url: str) -> dict[str, Any]:
    if wanted.mode is DeploymentMode.STANDARD:
        return {"url": url} if state.traffic else {}
    names = {
        "latestCreatedRevision": state.newest.name if state.newest else None,
        "latestReadyRevision": state.latest_ready,
        "latestRolledoutRevision": state.rolled_out,
        "previousRolledoutRevision": state.previous_rolled_out,
    }
    component: dict[str, Any] = {key: name for key, name in names.items() if name is not None}
    if state.traffic:
        component["traffic"] = [_write_target(target, url) for target in state.traffic]
        component |= {"url": url, "address": {"url": url}}
    return component


def _write_target(target: Target, url: str) -> dict[str, Any]:
    written: dict[str, Any] = {
        "revisionName": target.revision,
        "percent": target.percent,
        "latestRevision": target.is_latest,
    }
    if target.tag:
        written |= {"tag": target.tag, "url": f"{url}{tag_path(target.tag)}"}
    return written


def _canary_status(state: ServiceState, canary: Workload, *, is_up: bool) -> dict[str, Any]:
    return {
        "name": canary.variant,
        "ready": is_up and _is_answering(state, canary),
        "trafficPercent": canary.percent,
        "modelStatus": _model_status(state.newest_of(canary.name), standard.active(state, canary.name)),
    }


def _is_answering(state: ServiceState, canary: Workload) -> bool:
    revision = standard.active(state, canary.name)
    return revision is not None and revision.is_up


def _model_status(newest: Revision | None, serving: Revision | None) -> dict[str, Any]:
    failed = newest is not None and newest.has_failed
    copies = {"failedCopies": sum(server.has_failed for server in newest.servers) if newest else 0}
    if newest is not None and newest.is_up:
        copies["totalCopies"] = len(newest.ready_servers)
    status: dict[str, Any] = {
        "transitionStatus": _transition(newest, serving, failed=failed),
        "states": {
            "activeModelState": "" if serving is None else _model_state(serving),
            "targetModelState": "Pending" if newest is None else _model_state(newest),
        },
        "copies": copies,
    }
    if newest is not None and newest.last_failure is not None:
        status["lastFailureInfo"] = _failure_info(newest, newest.last_failure, was_ready=newest is serving)
    return status


def _transition(newest: Revision | None, serving: Revision | None, *, failed: bool) -> str:
    if failed:
        return "BlockedByFailedLoad"
    if newest is None:
        return "InProgress"
    # One that is to have no server is what was asked for.
    is_settled = newest.replicas == 0 or (newest is serving and newest.is_up)
    return "UpToDate" if is_settled else "InProgress"


def _model_state(revision: Revision) -> str:
    if revision.has_failed:
        return "FailedToLoad"
    if revision.is_up:
        return "Loaded"
    return "Loading" if any(server.process is not None for server in revision.servers) else "Pending"


def _failure_info(revision: Revision, failure: Failure, *, was_ready: bool) -> dict[str, Any]:
    info: dict[str, Any] = {
        "modelRevisionName": revision.name,
        "reason": "RuntimeUnhealthy" if was_ready else "ModelLoadFailed",
        "message": failure.message,
        "time": write_time(failure.at),
    }
    return info if failure.exit_code is None else info | {"exitCode": failure.exit_code}


def _model_statuses(status: dict[str, Any]) -> Iterable[dict[str, Any]]:
    yield status["modelStatus"]
    for canary in status.get("canaryStatuses", []):
        yield canary["modelStatus"]
