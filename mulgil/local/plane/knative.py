"""KServe's Knative form: revisions of one configuration, and `canaryTrafficPercent`, as pure decisions.

The route follows the latest revision that is ready; with `canaryTrafficPercent` that one has so many percent,
and the revision that was rolled out last has the others, under the tag `prev`.

Source:
    `createKnativeService` of KServe v0.20.0
    (https://github.com/kserve/kserve/tree/v0.20.0/pkg/controller/v1beta1/inferenceservice/reconcilers/knative),
    `PropagateStatus` (https://github.com/kserve/kserve/blob/v0.20.0/pkg/apis/serving/v1beta1/inference_service_status.go),
    and `findAndSetLatestReadyRevision` of Knative Serving
    (https://github.com/knative/serving/blob/knative-v1.23.0/pkg/reconciler/configuration/configuration.go).
"""

from __future__ import annotations

from mulgil.local.plane.revisions import Revision, ServiceState, Target, add_revision, run
from mulgil.local.plane.wanted import Wanted

PREVIOUS_TAG = "prev"
LATEST_TAG = "latest"


def settle(state: ServiceState, wanted: Wanted, now: float) -> ServiceState:
    """Decide which revisions there are, which of them run, and who has which share.

    Args:
        state: What is known, servers observed.
        wanted: What the object asks for.
        now: Seconds since the epoch.
    """
    state = _admit(state, wanted)
    latest_ready = next((r.name for r in reversed(state.revisions) if r.was_ready), None)
    state = _share(state.model_copy(update={"latest_ready": latest_ready}), wanted)
    return run(
        state,
        {revision.name: int(revision.template["minReplicas"]) for revision in _running(state)},
        {state.rolled_out, state.previous_rolled_out},
        now,
    )


def targets(
    percent: int | None, rolled_out: str | None, latest_ready: str | None, *, has_tags: bool
) -> tuple[Target, ...]:
    """Return the shares that the object asks for.

    Args:
        percent: `canaryTrafficPercent`.
        rolled_out: The revision that had all the traffic last.
        latest_ready: The newest revision that was ever ready.
        has_tags: Whether the latest one too has an address of its own.
    """
    if latest_ready is None:
        return ()
    share = 100 if percent is None or rolled_out is None else percent
    latest = Target(revision=latest_ready, percent=share, is_latest=True, tag=LATEST_TAG if has_tags else "")
    if share == 100 or rolled_out is None:
        return (latest,)
    return (latest, Target(revision=rolled_out, percent=100 - share, tag=PREVIOUS_TAG))


def note_rollout(state: ServiceState) -> ServiceState:
    """Keep account of what was rolled out, from the shares as they are.

    The latest revision with all the traffic is rolled out. One that was, and then is given less while no
    other has the rest, is taken back: the one before it counts as rolled out again.
    """
    latest = next((target for target in state.traffic if target.is_latest), None)
    if latest is None or latest.revision != state.latest_ready:
        return state
    if state.rolled_out != state.latest_ready:
        if latest.percent < 100:
            return state
        return state.model_copy(
            update={"rolled_out": state.latest_ready, "previous_rolled_out": state.rolled_out}
        )
    newest = state.newest
    is_taken_back = (
        newest is not None
        and newest.name == state.latest_ready
        and latest.percent < 100
        and state.weights[latest.revision] == 100
        and state.previous_rolled_out is not None
    )
    return state.model_copy(update={"rolled_out": state.previous_rolled_out}) if is_taken_back else state


def _admit(state: ServiceState, wanted: Wanted) -> ServiceState:
    """See that the newest revision is of the wanted template: any other template is a new revision."""
    newest, predictor = state.newest, wanted.predictor
    if newest is not None and newest.fingerprint == predictor.fingerprint:
        return state
    return add_revision(
        state,
        workload=predictor.name,
        template=predictor.template,
        fingerprint=predictor.fingerprint,
        replicas=predictor.replicas,
    )


def _share(state: ServiceState, wanted: Wanted) -> ServiceState:
    # KServe looks at the shares, corrects what was rolled out, and so changes the shares: twice at the most.
    while True:
        asked = targets(wanted.canary_percent, state.rolled_out, state.latest_ready, has_tags=wanted.has_tags)
        before = state.rolled_out
        if all(_may_have(state, target) for target in asked):
            state = state.model_copy(update={"traffic": asked})
        state = note_rollout(state)
        if state.rolled_out == before:
            return state


def _may_have(state: ServiceState, target: Target) -> bool:
    """Whether a share may be given: nobody waits for a revision that is only just coming back."""
    revision = state.find(target.revision)
    return target.percent == 0 or (revision is not None and revision.is_up)


def _running(state: ServiceState) -> list[Revision]:
    """Return the revisions that have servers: those with a share, those to come, and one to come back."""
    shared = {*state.weights, state.rolled_out}
    running = []
    is_to_come = True
    for revision in reversed(state.revisions):
        if revision.name == state.latest_ready:
            is_to_come = False
        is_newest = revision is state.newest
        if revision.name in shared or is_newest or (is_to_come and not revision.has_failed):
            running.append(revision)
    return running
