"""The ways to run one compiled pipeline, each in a process and a home of its own.

Run as `python -m benchmarks.pipeline_overhead.arms WAY PIPELINE PARAMETERS`: a file of the compiled pipeline,
and one of its parameters as JSON. `MULGIL_HOME` says where the state goes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mulgil.home import home
from mulgil.local.container_step import ContainerProcess
from mulgil.local.graph import GraphRunner
from mulgil.local.graph_spec import RetryPolicy
from mulgil.local.inputs import Run
from mulgil.local.journal import Journal
from mulgil.local.launch import launch
from mulgil.local.parameters import bind_parameters
from mulgil.local.pipeline_spec import parse_pipeline
from mulgil.local.results import TaskResult, Values
from mulgil.local.run_store import State
from mulgil.local.step import Step
from mulgil.local.step_outputs import read_outputs
from mulgil.local.step_runner import context_of
from mulgil.local.task_folder import TaskFolder

_TIMED_STEP = "benchmarks.pipeline_overhead.timed_step"


class OneAfterTheOther:
    """Starts each step as a new process, and one at a time, as `kfp.local` does.

    `kfp.local` itself refuses container components in subprocesses.
    """

    def __init__(self, run: Run, folder: Path) -> None:
        self._run = run
        self._folder = folder
        self._alone = asyncio.Lock()

    async def run(self, step: Step) -> TaskResult:
        """Run a step."""
        place = TaskFolder(self._folder, step.path)
        async with self._alone:
            place.begin()
            python, flag, *command = step.container.command
            container = step.container.model_copy(update={"command": (python, flag, _TIMED_STEP, *command)})
            with place.log.open("wb") as log:
                context = context_of(step, self._run, place)
                process = await ContainerProcess.start(container, context, place.path, log, None)
                code = await process.wait(None)
        if code != 0:
            return TaskResult(State.FAILED, code, failed=(step.path,))
        return TaskResult(State.SUCCEEDED, code, read_outputs(step, place))


def run_one_after_the_other(compiled: str, parameters: Mapping[str, Any]) -> State:
    """Run a pipeline's steps cold, one after the other."""
    pipeline = parse_pipeline(compiled)
    run = Run("one-after-the-other", "1970-01-01T00:00:00Z")
    folder = home() / "runs" / run.run_id
    folder.mkdir(parents=True)
    assert pipeline.root.dag is not None
    values = Values(bind_parameters(pipeline.root.input_definitions, parameters))
    steps = OneAfterTheOther(run, folder)
    graphs = GraphRunner(pipeline, run, folder, steps, Journal(run.run_id, lambda _: None))
    return asyncio.run(graphs.run(pipeline.root.dag, values, "", RetryPolicy())).state


def run_ours(compiled: str, parameters: Mapping[str, Any]) -> State:
    """Run a pipeline as `mulgil run --no-cache` does."""
    finished = launch(compiled, "bench", parameters, lambda *_: None, lambda _: None, is_cache_read=False)
    return finished.record.state


WAYS = {"sequential": run_one_after_the_other, "cold": run_ours, "warm": run_ours}


def main() -> int:
    """Run a pipeline in one of the ways."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("pipeline", type=Path)
    parser.add_argument("parameters", type=Path)
    arguments = parser.parse_args()
    compiled = arguments.pipeline.read_text(encoding="utf-8")
    state = WAYS[arguments.way](compiled, json.loads(arguments.parameters.read_text(encoding="utf-8")))
    return 0 if state is State.SUCCEEDED else 1


if __name__ == "__main__":
    raise SystemExit(main())
