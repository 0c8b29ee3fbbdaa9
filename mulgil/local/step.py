"""One step: a container with its inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from mulgil.local.graph_spec import RetryPolicy, Task
from mulgil.local.pipeline_spec import Container, OutputDefinitions
from mulgil.local.results import TaskResult, Values


@dataclass(frozen=True)
class Step:
    """A step that can run.

    Attributes:
        path: The task's path.
        task: The task.
        container: The command.
        inputs: What it takes.
        defaulted: Those of its parameters that nobody gave.
        outputs: What it must give.
        retry_policy: Its own, or that of a graph around it.
    """

    path: str
    task: Task
    container: Container
    inputs: Values
    defaulted: frozenset[str]
    outputs: OutputDefinitions
    retry_policy: RetryPolicy


class RunsSteps(Protocol):
    """Takes a step to its result: by running it, or by foretelling it."""

    async def run(self, step: Step) -> TaskResult:
        """Take a step to its end."""
