"""KServe's Standard form: one deployment a predictor, and `spec.canary[]`, as pure decisions.

Each canary that is ready has its `trafficPercent`, the stable predictor has the rest. A canary is promoted by
giving the stable predictor its name: then its deployment is the stable one, and nothing is started anew.

Source:
    `reconcileCanaryDeployments` and `adjustStableMinReplicasForCanaries` of KServe after v0.20.0
    (https://github.com/kserve/kserve/blob/aaac4e294/pkg/controller/v1beta1/inferenceservice/components), and
    `applyCanaryWeights`
    (https://github.com/kserve/kserve/tree/aaac4e294/pkg/controller/v1beta1/inferenceservice/reconcilers/ingress).
"""

from __future__ import annotations

from mulgil.local.plane.revisions import Revision, ServiceState, Target, add_revision, run
from mulgil.local.plane.wanted import Wanted, Workload


def settle(state: ServiceState, wanted: Wanted, now: float) -> ServiceState:
    """Decide which revisions there are, which of them run, and who has which share.

    Args:
        state: What is known, servers observed.
        wanted: What the object asks for.
        now: Seconds since the epoch.
    """
    for workload in wanted.workloads:
        state = _admit(state, workload)
    stable = active(state, wanted.predictor.name) or _serving(state)
    canaries = {
        workload: revision
        for workload in wanted.canaries
        if (revision := active(state, workload.name)) is not None and revision.is_up
    }
    state = state.model_copy(
        update={
            "latest_ready": stable.name if stable else None,
            "traffic": _shares(stable, canaries),
        }
    )
    replicas = {}
    for workload in wanted.workloads:
        count = _replicas(wanted, workload, canaries)
        for revision in (state.newest_of(workload.name), active(state, workload.name)):
            if revision is not None:
                replicas[revision.name] = count
    if stable is not None:
        replicas.setdefault(stable.name, stable.replicas)
    # A canary of 0 percent has no server by default, and still is there.
    return run(state, replicas, set(replicas), now)


def active(state: ServiceState, workload: str) -> Revision | None:
    """Return the revision of a deployment that answers for it: a new one takes over once it is whole."""
    revisions = [r for r in reversed(state.revisions) if r.workload == workload]
    whole = next((r for r in revisions if r.was_ready), None)
    return whole or next((r for r in revisions if r.is_up), None)


def _admit(state: ServiceState, workload: Workload) -> ServiceState:
    newest = state.newest_of(workload.name)
    if newest is not None and newest.fingerprint == workload.fingerprint:
        return state
    return add_revision(
        state,
        workload=workload.name,
        template=workload.template,
        fingerprint=workload.fingerprint,
        replicas=workload.replicas,
    )


def _serving(state: ServiceState) -> Revision | None:
    """Return the stable revision so far: a predictor of another name takes over once it is ready.

    KServe deletes the deployment of the old name at once, and so has nothing to answer with meanwhile.
    """
    return state.find(state.latest_ready)


def _shares(stable: Revision | None, canaries: dict[Workload, Revision]) -> tuple[Target, ...]:
    if stable is None:
        return ()
    given = [
        Target(revision=revision.name, percent=workload.percent, variant=workload.variant)
        for workload, revision in canaries.items()
    ]
    rest = 100 - sum(target.percent for target in given)
    return (Target(revision=stable.name, percent=rest, is_latest=True), *given)


def _replicas(wanted: Wanted, workload: Workload, ready_canaries: dict[Workload, Revision]) -> int:
    """Return a workload's servers: the stable one gives up as many as the canaries that are ready have."""
    if workload is not wanted.predictor:
        return workload.replicas
    return max(workload.replicas - sum(canary.replicas for canary in ready_canaries), 1)
