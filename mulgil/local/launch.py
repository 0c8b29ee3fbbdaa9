"""A run from its start to its record: the folder, the run store and the runner, tied together."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mulgil.artifacts import write_text
from mulgil.home import home
from mulgil.local.pipeline_spec import parse_pipeline
from mulgil.local.results import RunResult
from mulgil.local.run_store import RunRecord, RunStore, State, TaskRecord
from mulgil.local.runner import PipelineRunner


def open_run_store() -> RunStore:
    """Return the run store of this machine's home."""
    return RunStore(home() / "runs.sqlite")


def folder_of(run_id: str) -> Path:
    """Return a run's folder."""
    return home() / "runs" / run_id


@dataclass(frozen=True)
class FinishedRun:
    """A run that came to an end.

    Attributes:
        record: As it stands in the run store.
        result: Its tasks and what they gave.
    """

    record: RunRecord
    result: RunResult


def launch(
    compiled: str,
    project: str,
    parameters: Mapping[str, Any],
    announce: Callable[[RunRecord, Mapping[str, str]], None],
    observe: Callable[[TaskRecord], None],
) -> FinishedRun:
    """Run a compiled pipeline on this machine and record it.

    Args:
        compiled: The pipeline as the KFP compiler writes it.
        project: The project's name, for the record.
        parameters: The pipeline's parameters.
        announce: Told of the run, and of the display names, by path, of the tasks known before it starts.
        observe: Told of each start and end of a task.

    Raises:
        UnsupportedPipelineError: The pipeline uses what this runner does not implement.
        InputError: A parameter is unknown, missing or of the wrong type.
    """
    pipeline = parse_pipeline(compiled)
    name = pipeline.pipeline_info.name
    run_id = f"{name}-{project}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
    store = open_run_store()

    def observe_and_record(task: TaskRecord) -> None:
        store.write_task(task)
        observe(task)

    runner = PipelineRunner(pipeline, run_id, folder_of(run_id), observe_and_record)
    write_text(folder_of(run_id) / "pipeline.yaml", compiled)
    run = RunRecord(run_id, name, project, State.RUNNING, parameters, time.time())
    store.write_run(run)
    announce(run, pipeline.task_names)
    state = State.FAILED
    try:
        result = runner.run(parameters)
        state = result.state
    except KeyboardInterrupt:
        state = State.INTERRUPTED
        raise
    finally:
        run = replace(run, state=state, ended_at=time.time())
        store.write_run(run)
    return FinishedRun(run, result)
