"""A run from its start to its record: the folder, the run store and the runner, tied together."""

from __future__ import annotations

import contextlib
import fcntl
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mulgil.artifacts import write_text
from mulgil.errors import InputError, describe
from mulgil.home import home
from mulgil.local.cache.output_store import OutputStore
from mulgil.local.pipeline_spec import PipelineSpec, parse_pipeline
from mulgil.local.plan import Action, PlannedStep, plan_run
from mulgil.local.platforms import Platform, RunnerKind
from mulgil.local.results import RunResult
from mulgil.local.reuse import StepReuse
from mulgil.local.run_store import RunRecord, RunStore, State, TaskRecord
from mulgil.local.runner import PipelineRunner
from mulgil.local.task_folder import TaskFolder


def open_run_store() -> RunStore:
    """Return the run store of this machine's home; in it a run whose process is gone is interrupted."""
    store = RunStore(home() / "runs.sqlite")
    for run in store.list_runs():
        if run.state is State.RUNNING and not _is_held(folder_of(run.run_id)):
            store.interrupt_run(run.run_id)
    return store


def open_cache() -> OutputStore:
    """Return the step cache of this machine's home."""
    return OutputStore(home() / "cache")


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


_LOCK = "lock"
# In a run's folder: what its steps run in.
_RUNNER = "runner"
# Beside a run's pipeline where it was begun without the cache, and so goes on without it.
_NO_CACHE = "no-cache"


def plan(
    pipeline: PipelineSpec, parameters: Mapping[str, Any], runner: RunnerKind = RunnerKind.LOCAL
) -> list[PlannedStep]:
    """Foretell what a run on this machine would do with each step.

    Raises:
        InputError: A parameter is unknown, missing or of the wrong type, a project is wrong, or an image is
            missing.
    """
    return _plan(pipeline, parameters, Platform.of(runner))


def _plan(pipeline: PipelineSpec, parameters: Mapping[str, Any], platform: Platform) -> list[PlannedStep]:
    home().mkdir(parents=True, exist_ok=True)
    # Beside the cache, as its files are linked.
    with tempfile.TemporaryDirectory(dir=home(), prefix=".plan-") as folder:
        return plan_run(pipeline, parameters, open_cache(), Path(folder), platform.fingerprint_environment)


Announce = Callable[[RunRecord, Mapping[str, str]], None]
Observe = Callable[[TaskRecord], None]


def launch(
    compiled: str,
    project: str,
    parameters: Mapping[str, Any],
    announce: Announce,
    observe: Observe,
    *,
    is_cache_read: bool = True,
    runner: RunnerKind = RunnerKind.LOCAL,
) -> FinishedRun:
    """Run a compiled pipeline on this machine and record it.

    Args:
        compiled: The pipeline as the KFP compiler writes it.
        project: The project's name, for the record.
        parameters: The pipeline's parameters.
        announce: Told of the run, and of the display names, by path, of the tasks known before it starts.
        observe: Told of each start and end of a task.
        is_cache_read: Whether steps take the outputs that other runs left for the same inputs.
        runner: What its steps run in.

    Raises:
        UnsupportedPipelineError: The pipeline uses what this runner does not implement.
        InputError: A parameter is unknown, missing or of the wrong type.
    """
    name = parse_pipeline(compiled).pipeline_info.name
    run_id = f"{name}-{project}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
    run = RunRecord(run_id, name, project, State.RUNNING, parameters, time.time())
    return _run(run, compiled, announce, observe, Platform.of(runner), is_cache_read=is_cache_read)


def resume(run_id: str, announce: Announce, observe: Observe) -> FinishedRun:
    """Go on with a run that failed, was interrupted or was killed; what it finished stands.

    Args:
        run_id: The run.
        announce: As in `launch`.
        observe: Told of each start and end of a task that had not finished.

    Raises:
        InputError: There is no such run, it has succeeded, it is running, or it ran on a cluster.
    """
    run = open_run_store().read_run(run_id)
    compiled = folder_of(run_id) / "pipeline.yaml"
    # Whoever runs it here holds its lock, which stays.
    if compiled.is_file() and not (folder_of(run_id) / _LOCK).exists():
        raise InputError(
            describe(
                "The run ran on a cluster, and only there can it go on",
                expected="a run of this machine",
                received=f"run={run_id} state={run.state}",
                next_step=f"`mulgil submit PROJECT --retry {run_id}`",
            )
        )
    if run.state is State.SUCCEEDED or not compiled.is_file():
        raise InputError(
            describe(
                "There is nothing to resume",
                expected="a run that failed, was interrupted or was killed",
                received=f"run={run_id} state={run.state}",
                next_step="see `mulgil runs list`",
            )
        )
    run = replace(run, state=State.RUNNING, ended_at=None)
    is_cache_read = not (folder_of(run_id) / _NO_CACHE).exists()
    platform = Platform.of(_read_runner(folder_of(run_id)))
    return _run(
        run,
        compiled.read_text(encoding="utf-8"),
        announce,
        observe,
        platform,
        is_cache_read=is_cache_read,
    )


def _run(
    run: RunRecord,
    compiled: str,
    announce: Announce,
    observe: Observe,
    platform: Platform,
    *,
    is_cache_read: bool,
) -> FinishedRun:
    pipeline = parse_pipeline(compiled)
    store = open_run_store()
    folder = folder_of(run.run_id)

    def observe_and_record(task: TaskRecord) -> None:
        store.write_task(task)
        observe(task)

    reuse = StepReuse(
        run.run_id,
        open_cache(),
        is_cache_read=is_cache_read,
        fingerprint_environment=platform.fingerprint_environment,
    )
    # What the run itself finished before it was resumed is not imported again.
    expected = [
        step.task
        for step in _plan(pipeline, run.parameters, platform)
        if (step.is_run or (step.action is not Action.SKIP and not is_cache_read))
        and TaskFolder(folder, step.task).read_finished() is None
    ]
    images = [pipeline.images[path] for path in expected if path in pipeline.images]
    launcher = platform.launcher(
        run.run_id, folder, images, is_running=lambda run_id: _is_held(folder_of(run_id))
    )
    runner = PipelineRunner(pipeline, run.run_id, folder, observe_and_record, reuse, launcher)
    with _alone(run.run_id, folder):
        if not is_cache_read:
            (folder / _NO_CACHE).touch()
        write_text(folder / "pipeline.yaml", compiled)
        write_text(folder / _RUNNER, platform.runner)
        store.write_run(run)
        announce(run, pipeline.task_names)
        state = State.FAILED
        try:
            result = runner.run(run.parameters)
            state = result.state
        except KeyboardInterrupt:
            state = State.INTERRUPTED
            store.interrupt_run(run.run_id, time.time())
            raise
        finally:
            run = replace(run, state=state, ended_at=time.time())
            store.write_run(run)
    return FinishedRun(run, result)


def _read_runner(folder: Path) -> RunnerKind:
    try:
        return RunnerKind((folder / _RUNNER).read_text(encoding="utf-8"))
    except FileNotFoundError:
        # Of a run of before there was a choice.
        return RunnerKind.LOCAL


def _is_held(folder: Path) -> bool:
    """Whether a living process holds a run's lock."""
    try:
        with (folder / _LOCK).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


@contextlib.contextmanager
def _alone(run_id: str, folder: Path) -> Iterator[None]:
    """Hold a run's lock, which ends with the process that holds it, however it ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise InputError(
                describe("The run is running in another process", received=f"run={run_id}")
            ) from exc
        yield
