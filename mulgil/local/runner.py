"""Runs a compiled pipeline on this machine.

Independent tasks run side by side, on one event loop; the steps are processes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mulgil.errors import PermanentError
from mulgil.local.backend_limits import refuse_beyond_backend
from mulgil.local.graph import GraphRunner
from mulgil.local.graph_spec import Dag, RetryPolicy
from mulgil.local.inputs import Run
from mulgil.local.journal import Journal, Observe
from mulgil.local.launcher import Launcher
from mulgil.local.machine import Machine
from mulgil.local.parameters import bind_parameters
from mulgil.local.pipeline_spec import PipelineSpec
from mulgil.local.process_launcher import ProcessLauncher
from mulgil.local.results import RunResult, TaskResult, Values
from mulgil.local.reuse import StepReuse
from mulgil.local.step_runner import StepRunner


class PipelineRunner:
    """Runs one compiled pipeline once.

    Args:
        pipeline: What to run.
        run_id: The run's name.
        folder: The run's folder; each task gets one below it.
        observe: Told of each start and end of a task, one call at a time.
        reuse: Knows the outputs that stand already.
        launcher: Starts the steps' commands; as processes of this machine where it is not given.

    Raises:
        UnsupportedPipelineError: An image has no environment on this machine, or the pipeline uses what KFP's
            backend would not run.
        PermanentError: An environment is not installed, or an image is not there.
    """

    def __init__(
        self,
        pipeline: PipelineSpec,
        run_id: str,
        folder: Path,
        observe: Observe,
        reuse: StepReuse,
        launcher: Launcher | None = None,
    ) -> None:
        self._launcher = launcher or ProcessLauncher(folder)
        for name, executor in pipeline.deployment_spec.executors.items():
            if executor.container is not None:
                self._launcher.check(name, executor.container)
        refuse_beyond_backend(pipeline)
        self._pipeline = pipeline
        self._run = Run(run_id, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
        self._folder = folder
        self._reuse = reuse
        self._journal = Journal(run_id, observe)

    def run(self, parameters: Mapping[str, Any]) -> RunResult:
        """Run the pipeline to its end.

        Args:
            parameters: The pipeline's parameters, by name.

        Raises:
            InputError: A parameter is unknown, missing or of the wrong type.
            KeyboardInterrupt: The user interrupted; every step has been ended.
        """
        root = self._pipeline.root
        if root.dag is None:
            raise PermanentError("The pipeline's root is not a graph.")
        values = bind_parameters(root.input_definitions, parameters)
        # An interrupt cancels the run, and each step that is cancelled ends its process first.
        result = asyncio.run(self._run_graph(root.dag, Values(values)))
        return RunResult(result.state, result.failed, result.outputs, self._journal.results)

    async def _run_graph(self, graph: Dag, values: Values) -> TaskResult:
        self._folder.mkdir(parents=True, exist_ok=True)
        steps = StepRunner(self._run, self._folder, Machine(), self._journal, self._reuse, self._launcher)
        graphs = GraphRunner(self._pipeline, self._run, self._folder, steps, self._journal)
        try:
            await self._launcher.prepare()
            return await graphs.run(graph, values, "", RetryPolicy())
        finally:
            await self._launcher.close()
