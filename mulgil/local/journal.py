"""What happened to the tasks of a run, as it happens."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from mulgil.local.graph_spec import Task
from mulgil.local.results import TaskResult
from mulgil.local.run_store import State, TaskRecord

Observe = Callable[[TaskRecord], None]


class Journal:
    """Tells an observer of each task's attempts and ends, and keeps the results.

    Args:
        run_id: The run's name.
        observe: Told of each start and end, one call at a time.
    """

    def __init__(self, run_id: str, observe: Observe) -> None:
        self._run_id = run_id
        self._observe = observe
        self.results: dict[str, TaskResult] = {}

    def tell_start(self, path: str, task: Task, attempt: int) -> TaskRecord:
        """Tell that an attempt starts."""
        record = TaskRecord(
            self._run_id,
            path,
            State.RUNNING,
            time.time(),
            attempt=attempt,
            display_name=task.display_name,
        )
        self._observe(record)
        return record

    def tell_retry(self, attempt: TaskRecord, result: TaskResult) -> None:
        """Tell that an attempt failed and another one will follow."""
        self._end(attempt, State.RETRIED, result)

    def tell_end(self, attempt: TaskRecord, result: TaskResult) -> TaskResult:
        """Tell how a task ended after its last attempt."""
        self._end(attempt, result.state, result)
        self.results[attempt.task] = result
        return result

    def tell_reuse(self, path: str, task: Task, state: State, result: TaskResult) -> TaskResult:
        """Tell that a task took the outputs that are kept for the same inputs."""
        now = time.time()
        record = TaskRecord(self._run_id, path, state, now, now, display_name=task.display_name)
        self._observe(record)
        self.results[path] = result
        return result

    def keep(self, path: str, result: TaskResult) -> TaskResult:
        """Note a task that had finished before the run was resumed; it has been told of."""
        self.results[path] = result
        return result

    def tell_end_without_start(self, path: str, task: Task, result: TaskResult) -> TaskResult:
        """Tell how a task ended of which nothing was run."""
        record = TaskRecord(self._run_id, path, State.RUNNING, time.time(), display_name=task.display_name)
        return self.tell_end(record, result)

    def _end(self, attempt: TaskRecord, state: State, result: TaskResult) -> None:
        self._observe(replace(attempt, state=state, ended_at=time.time(), exit_code=result.exit_code))
