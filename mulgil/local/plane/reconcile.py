"""What a service is to be: one pure decision from what was known, what is wanted and what was seen."""

from __future__ import annotations

from collections.abc import Mapping

from mulgil.kserve_modes import DeploymentMode
from mulgil.local.plane import knative, standard
from mulgil.local.plane.revisions import Observation, ServerKey, ServiceState, observe, run
from mulgil.local.plane.wanted import Wanted


def reconcile(
    state: ServiceState, wanted: Wanted | None, seen: Mapping[ServerKey, Observation], now: float
) -> ServiceState:
    """Decide what every revision and every server is to be.

    Args:
        state: What was known.
        wanted: What the object asks for; `None` where it is deleted.
        seen: What was seen of every server that has a process.
        now: Seconds since the epoch.

    Returns:
        What is known now. Pending, retiring and stopping servers that are due wait to be acted on.
    """
    state = observe(state, seen, now)
    if wanted is None:
        return run(state.model_copy(update={"traffic": (), "latest_ready": None}), {}, set(), now)
    settle = knative.settle if wanted.mode is DeploymentMode.KNATIVE else standard.settle
    return settle(state, wanted, now).model_copy(update={"observed_generation": wanted.generation})
