"""Whether a task starts, decided by how the tasks before it ended.

Argo runs a task where those before it succeeded, and an exit hook where its task completed: succeeded or
failed, but not skipped.

Source: `depends` and the exit hooks in backend/src/v2/compiler/argocompiler/dag.go, kfp 2.17.0.
"""

from __future__ import annotations

from collections.abc import Iterable

from mulgil.local.run_store import State


def end_without_start(upstream: Iterable[State], *, is_exit_task: bool) -> State | None:
    """Return the state in which a task ends without having started.

    Args:
        upstream: Final states of the tasks that it waits for.
        is_exit_task: Whether it runs where they failed, too.

    Returns:
        `BLOCKED` or `SKIPPED`; `None` where it starts.
    """
    states = set(upstream)
    if State.BLOCKED in states or (State.FAILED in states and not is_exit_task):
        return State.BLOCKED
    return State.SKIPPED if State.SKIPPED in states else None
