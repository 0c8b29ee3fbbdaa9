"""One step of a run, run again on the run's real inputs, in a folder of its own.

The run's graph is gone through with the outputs that its steps left, until the step has its inputs. Nothing
of the run is written to.
"""

from __future__ import annotations

import asyncio
import importlib
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mulgil.errors import InputError, PermanentError, describe
from mulgil.local.container_step import ContainerProcess, command_of
from mulgil.local.environments import find_environment
from mulgil.local.graph import GraphRunner
from mulgil.local.graph_spec import RetryPolicy
from mulgil.local.inputs import Run
from mulgil.local.interpreters import module_of
from mulgil.local.journal import Journal
from mulgil.local.parameters import bind_parameters
from mulgil.local.pipeline_spec import PipelineSpec
from mulgil.local.results import TaskResult, Values
from mulgil.local.run_store import State
from mulgil.local.step import Step
from mulgil.local.step_outputs import read_outputs
from mulgil.local.step_runner import context_of
from mulgil.local.task_folder import TaskFolder

_DEBUGGED = "mulgil.local.debugged_step"


@dataclass(frozen=True)
class Attempt:
    """What a step did.

    Attributes:
        exit_code: Its process's.
        folder: Where it worked, with its artifacts in `artifacts` and its parameters in `parameters`.
        log: What it wrote to the terminal; `None` where it had the terminal itself.
    """

    exit_code: int
    folder: Path
    log: Path | None


def find_step(
    pipeline: PipelineSpec, run: Run, parameters: Mapping[str, Any], folder: Path, path: str
) -> Step:
    """Return a step of a run with its inputs.

    Args:
        pipeline: What was run.
        run: The run.
        parameters: The pipeline's parameters.
        folder: The run's folder.
        path: The step's path.

    Raises:
        InputError: What it needs was not finished in the run, or its condition was false.
    """
    root = pipeline.root
    if root.dag is None:
        raise PermanentError("The pipeline's root is not a graph.")
    seeker = _Seeker(folder, path)
    values = Values(bind_parameters(root.input_definitions, parameters))
    # The graph notes its refusals in a folder, which is none of the run's.
    with tempfile.TemporaryDirectory() as aside:
        graphs = GraphRunner(pipeline, run, Path(aside), seeker, Journal(run.run_id, lambda _: None))
        asyncio.run(graphs.run(root.dag, values, "", RetryPolicy()))
    if seeker.found is None:
        raise InputError(
            describe(
                f"{path} did not get so far in this run as to have inputs",
                expected="a step whose inputs come from steps that finished",
                received=f"run={run.run_id} step={path}",
                next_step=f"see `mulgil runs show {run.run_id}`",
            )
        )
    return seeker.found


def check_is_harmless(step: Step) -> None:
    """Refuse a step that acts on what all runs share.

    Raises:
        InputError: It does.
    """
    component = find_environment(step.container.image).component
    if importlib.import_module(f"components.{component}").ACTS_OUTSIDE:
        raise InputError(
            describe(
                f"{step.path} acts on this machine's own stores, as this run would have them",
                expected="a step that gives artifacts and changes nothing else",
                received=f"step={step.path}",
                next_step="say that it may with --act-outside, or set MULGIL_HOME to a copy",
            )
        )


def run_step(step: Step, run: Run, folder: Path, *, is_debugged: bool) -> Attempt:
    """Run a step in an empty folder.

    Args:
        step: The step.
        run: The run that its inputs are of.
        folder: Where it works; it is made.
        is_debugged: Whether it gets the terminal and stops at its core's first line and where it fails.

    Raises:
        PermanentError: It cannot be started, or ended well without an output.
        InputError: It is no Python component, which could be debugged.
    """
    place = TaskFolder(folder, step.path)
    place.begin()
    context = context_of(step, run, place)
    if is_debugged:
        words, environment = command_of(step.container, context)
        module = module_of(words)
        if module is None:
            raise InputError(describe(f"{step.path} is no Python component", received=" ".join(words[:3])))
        debugged = ["python", "-m", _DEBUGGED, module, *words[3:]]
        # Ctrl-C is for the debugger, which is in the same foreground.
        before = signal.signal(signal.SIGINT, lambda *_: None)
        try:
            ended = subprocess.run(debugged, env=environment, cwd=place.path)
        finally:
            signal.signal(signal.SIGINT, before)
        return Attempt(ended.returncode, place.path, None)

    async def run_to_its_end() -> int:
        with place.log.open("wb") as log:
            process = await ContainerProcess.start(step.container, context, place.path, log, None)
            try:
                return await process.wait(None)
            except asyncio.CancelledError:
                await process.end()
                raise

    exit_code = asyncio.run(run_to_its_end())
    if exit_code == 0:
        read_outputs(step, place)
    return Attempt(exit_code, place.path, place.log)


class _Seeker:
    """Takes the results of a run's steps from what they left, until the step is met that is looked for."""

    def __init__(self, folder: Path, path: str) -> None:
        self._folder = folder
        self._path = path
        self.found: Step | None = None

    async def run(self, step: Step) -> TaskResult:
        """Return what a step left."""
        if step.path == self._path:
            self.found = step
        finished = TaskFolder(self._folder, step.path).read_finished()
        if finished is None:
            return TaskResult(State.FAILED, failed=(step.path,))
        return TaskResult(State.SUCCEEDED, outputs=finished)
