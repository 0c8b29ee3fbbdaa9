"""What flows between tasks, and how tasks and runs end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mulgil.local.run_store import State


@dataclass(frozen=True)
class Values:
    """What a task is given, or gives.

    Attributes:
        parameters: Values by name.
        artifacts: Places by name.
    """

    parameters: Mapping[str, Any] = field(default_factory=dict)
    artifacts: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class TaskResult:
    """How a task ended, and what it gave.

    Attributes:
        state: A final state.
        exit_code: Of the process that failed, where one did.
        outputs: Of a task that succeeded; of a failed one the artifacts that it had written.
        failed: Paths of the tasks whose failure made it fail, the first one first.
    """

    state: State
    exit_code: int | None = None
    outputs: Values = Values()
    failed: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunResult:
    """How a run ended.

    Attributes:
        state: The run's own state.
        failed: Paths of the tasks whose failure made it fail, the first one first. A failed exit task is not
            among them: it leaves the run as it is.
        outputs: The pipeline's outputs.
        tasks: The result of every task that was no graph, or a graph that did not run, by its path: its name
            with those of the graphs around it, and the numbers of the iterations, before slashes.
    """

    state: State
    failed: tuple[str, ...]
    outputs: Values
    tasks: Mapping[str, TaskResult]

    def find_artifact(self, task: str, name: str) -> Path | None:
        """Return the artifact of a task by the task's own name, in whichever graph it stands."""
        for path, result in self.tasks.items():
            if path.rpartition("/")[2] == task:
                return result.outputs.artifacts.get(name)
        return None
