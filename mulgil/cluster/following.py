"""A run on Kubeflow Pipelines, told as a local run is told."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from mulgil.errors import MulgilError, TemporaryError, describe
from mulgil.local.run_store import State, TaskRecord

_STATES = {
    "RUNNING": State.RUNNING,
    "PAUSED": State.RUNNING,
    "CANCELING": State.RUNNING,
    "SUCCEEDED": State.SUCCEEDED,
    # KFP says so of a step whose outputs were cached, and of one whose condition was false.
    "SKIPPED": State.SKIPPED,
    "FAILED": State.FAILED,
    "CANCELED": State.INTERRUPTED,
}
# Between two looks; chosen by eye, a step takes longer.
_LOOK_SECONDS = 2.0
# A server that restarts is back by then; chosen by eye.
_PATIENCE_SECONDS = 120.0

Observe = Callable[[TaskRecord], None]


class RunReader(Protocol):
    """What following needs of a server."""

    def read_run(self, run_id: str) -> Any:
        """Return a run as it stands."""


@dataclass(frozen=True)
class FollowedRun:
    """A run that has ended.

    Attributes:
        run_id: Its identity at the server.
        state: How it ended.
        reason: Why it failed, as KFP says.
        started_at: Seconds since the epoch.
        ended_at: Seconds since the epoch.
        parameters: What it was started with.
        tasks: The last record of each task.
    """

    run_id: str
    state: State
    reason: str
    started_at: float
    ended_at: float
    parameters: Mapping[str, Any]
    tasks: tuple[TaskRecord, ...]

    @property
    def failed(self) -> tuple[TaskRecord, ...]:
        """The tasks that failed."""
        return tuple(task for task in self.tasks if task.state is State.FAILED)


def follow(
    server: RunReader,
    run_id: str,
    titles: Mapping[str, str],
    observe: Observe,
    *,
    look_seconds: float = _LOOK_SECONDS,
    patience_seconds: float = _PATIENCE_SECONDS,
) -> FollowedRun:
    """Look at a run until it has ended, and tell of each task's start and end.

    Args:
        server: Where it runs.
        run_id: The run.
        titles: Display names of the pipeline's tasks by their paths.
        observe: Told of what changed.
        look_seconds: Between two looks.
        patience_seconds: How long the server may be silent.

    Raises:
        TemporaryError: The server was silent for longer; the run goes on without us.
    """
    known: dict[str, TaskRecord] = {}
    silent_since: float | None = None
    while True:
        try:
            run = server.read_run(run_id)
            silent_since = None
        except TemporaryError as exc:
            silent_since = silent_since or time.monotonic()
            if time.monotonic() - silent_since >= patience_seconds:
                raise _lost(run_id, exc) from exc
            time.sleep(look_seconds)
            continue
        for record in task_records(run_id, titles, _details(run)):
            if known.get(record.task) != record:
                known[record.task] = record
                observe(record)
        state = _STATES.get(str(run.state), State.RUNNING)
        if state.is_final:
            return FollowedRun(
                run_id,
                state,
                _reason(run.error),
                _seconds(run.created_at),
                _seconds(run.finished_at) or time.time(),
                dict((run.runtime_config and run.runtime_config.parameters) or {}),
                tuple(known.values()),
            )
        time.sleep(look_seconds)


def task_records(run_id: str, titles: Mapping[str, str], details: Iterable[Any]) -> list[TaskRecord]:
    """Read a run's task details: those of the pipeline's own tasks, the drivers and executors left out.

    Args:
        run_id: The run.
        titles: Display names of the pipeline's tasks by their paths.
        details: As KFP lists them. A task of a loop is there once an iteration, all of one name.
    """
    paths = {path.rpartition("/")[2]: path for path in titles} | {
        title: path for path, title in titles.items()
    }
    found: dict[str, list[Any]] = {}
    for detail in sorted(details, key=lambda one: _seconds(one.start_time or one.create_time)):
        if detail.display_name in paths and str(detail.state) in _STATES:
            found.setdefault(paths[detail.display_name], []).append(detail)
    return [
        TaskRecord(
            run_id,
            path if len(same) == 1 else f"{path}/{number}",
            _STATES[str(detail.state)],
            _seconds(detail.start_time or detail.create_time),
            _seconds(detail.end_time) or None if _STATES[str(detail.state)].is_final else None,
            display_name=titles[path],
        )
        for path, same in found.items()
        for number, detail in enumerate(same)
    ]


def _details(run: Any) -> Iterable[Any]:
    return (run.run_details and run.run_details.task_details) or ()


def _reason(error: Any) -> str:
    return str(error.message or "") if error is not None else ""


def _seconds(moment: datetime | None) -> float:
    return moment.timestamp() if moment is not None else 0.0


def _lost(run_id: str, exc: MulgilError) -> TemporaryError:
    return TemporaryError(
        describe(
            f"The server has fallen silent; the run {run_id} goes on without being watched",
            received=str(exc).splitlines()[0],
            next_step=f"follow it again: mulgil submit PROJECT --attach {run_id}",
        )
    )
