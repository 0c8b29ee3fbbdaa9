"""`mulgil run`: the training pipeline on a project, to a served model."""

from __future__ import annotations

import shlex
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from mulgil.artifacts import (
    DATASET_MANIFEST,
    DatasetManifest,
    Endpoint,
    Evaluation,
    RolloutReference,
    SpanNews,
)
from mulgil.cli.console import errors, output
from mulgil.cli.progress import progress_on
from mulgil.cli.training import (
    DEFAULT_PROJECT,
    DeployOption,
    ImagesOption,
    ProjectArgument,
    RunnerOption,
    SettingsOption,
    SourceOption,
    request_training,
)
from mulgil.errors import (
    GateRejectedError,
    InputError,
    MulgilError,
    PermanentError,
    TemporaryError,
    describe,
)
from mulgil.full_disk import as_full_disk
from mulgil.local.launch import FinishedRun, folder_of, launch, open_run_store, resume
from mulgil.local.platforms import RunnerKind
from mulgil.local.run_names import find_run
from mulgil.local.run_store import State
from mulgil.local.task_folder import log_of
from mulgil.reports.writing import write_report
from mulgil.rollout.spawning import ensure_driven
from mulgil.rollout.store import RolloutStore
from mulgil.serving.requests import curl_command

_LOG_LINES_SHOWN = 30
# As a shell says of a command that Ctrl-C ended: 128 + SIGINT.
_INTERRUPTED = 130


def run_command(
    project: ProjectArgument = DEFAULT_PROJECT,
    source: SourceOption = None,
    settings: SettingsOption = None,
    is_deployed: DeployOption = True,
    is_cache_read: Annotated[
        bool, typer.Option("--cache/--no-cache", help="Take outputs that earlier runs left for equal inputs.")
    ] = True,
    resumed: Annotated[
        str | None,
        typer.Option(
            "--resume", metavar="RUN", help="Go on with a run (or `latest`), by its own project and flags."
        ),
    ] = None,
    runner: RunnerOption = RunnerKind.LOCAL,
    registry: ImagesOption = "",
) -> None:
    """Run the training pipeline on PROJECT: ingest, validate, train, judge, register, deploy."""
    # What stops the command stops its steps, whether it is asked by Ctrl-C or by a service manager.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    asked = AskedRun(project, source, tuple(settings or ()), is_deployed, runner, registry)
    try:
        run = _run(asked, resumed, is_cache_read=is_cache_read)
    except KeyboardInterrupt:
        errors.print(
            "\ninterrupted; `mulgil runs list` has the run, and `mulgil run --resume RUN` goes on with it"
        )
        raise typer.Exit(_INTERRUPTED) from None
    report = _write_report(run)
    if run.result.failed:
        _explain(run, report, "" if resumed else asked.command)
    _summarise(run, report)


@dataclass(frozen=True)
class AskedRun:
    """A run as it was asked for.

    Attributes:
        project: The project's folder.
        source: What replaces its source.
        settings: What replaces values of `project.yaml`.
        is_deployed: Whether an approved model is deployed.
        runner: What its steps run in.
        registry: Where their images are from.
    """

    project: Path
    source: str | None = None
    settings: tuple[str, ...] = ()
    is_deployed: bool = True
    runner: RunnerKind = RunnerKind.LOCAL
    registry: str = ""

    @property
    def command(self) -> str:
        """The command that begins it anew."""
        words = ["mulgil", "run", str(self.project)]
        words += ["--source", self.source] if self.source is not None else []
        words += [word for setting in self.settings for word in ("--set", setting)]
        words += [] if self.is_deployed else ["--no-deploy"]
        words += [] if self.runner is RunnerKind.LOCAL else ["--runner", self.runner]
        words += ["--registry", self.registry] if self.registry else []
        return shlex.join(words)


def _run(asked: AskedRun, resumed: str | None, *, is_cache_read: bool) -> FinishedRun:
    if resumed is not None:
        if asked != AskedRun(asked.project) or not is_cache_read:
            raise InputError(
                describe(
                    "A run goes on as it began",
                    expected="--resume without flags that a run is begun with",
                    received=f"--resume {resumed} with --source, --set, --no-deploy, --no-cache, --runner or "
                    "--registry",
                    next_step="begin a new run: steps whose inputs are unchanged are taken from the cache",
                )
            )
        with progress_on(output) as progress:
            return resume(find_run(open_run_store(), resumed).run_id, progress.announce, progress.observe)
    request = request_training(
        asked.project,
        asked.source,
        asked.settings,
        is_deployed=asked.is_deployed,
        runner=asked.runner,
        registry=asked.registry,
    )
    with progress_on(output) as progress:
        return launch(
            request.compiled,
            request.project,
            request.parameters,
            progress.announce,
            progress.observe,
            is_cache_read=is_cache_read,
            runner=request.runner,
        )


def _write_report(run: FinishedRun) -> Path | None:
    """Write the run's page; a run that is done is not undone by a page that cannot be written."""
    try:
        return write_report(run.record)
    except (MulgilError, OSError) as exc:
        if run.result.failed and as_full_disk(exc):
            # The step that failed says so, and what to do.
            return None
        errors.print(f"The report could not be written: {exc}", markup=False)
        return None


def say_how_to_go_on(exit_code: int, run_id: str, again: str) -> str:
    """Return the command to give once what made a run fail is mended.

    A run works on a copy of the project, so one that failed for what the user's files say, or that a gate
    turned down, is resumed in vain: it would read the same words again.

    Args:
        exit_code: Of the run.
        run_id: The run.
        again: The command that begins it anew; empty where only its name is known.
    """
    if exit_code not in (InputError.exit_code, GateRejectedError.exit_code):
        return f"Once it is mended: mulgil run --resume {run_id}"
    return (
        f"Once it is mended: {again or 'mulgil run PROJECT, with the flags that it was begun with'}\n"
        "Steps that finished are taken from the cache where their inputs are unchanged; --resume would read "
        "the project as it was."
    )


def _explain(run: FinishedRun, report: Path | None, again: str) -> None:
    """Show the end of the log of the step that failed, and leave with its exit code."""
    task = run.result.failed[0]
    log = log_of(folder_of(run.record.run_id), task)
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    errors.print(f"\n{task} failed; the end of its log ({log}):\n", markup=False)
    errors.print("\n".join(f"  {line}" for line in lines[-_LOG_LINES_SHOWN:]), markup=False)
    code = run.result.tasks[task].exit_code
    if code is not None and code < 0:
        errors.print(f"  It was ended by signal {-code} ({signal.Signals(-code).name}).")
        code = TemporaryError.exit_code
    if report is not None:
        errors.print(f"\nThe whole run as a page: {report}", markup=False)
    code = code if code is not None and code in _OWN_EXIT_CODES else 1
    errors.print("\n" + say_how_to_go_on(code, run.record.run_id, again), markup=False)
    raise typer.Exit(code)


_OWN_EXIT_CODES = {
    kind.exit_code for kind in (InputError, GateRejectedError, PermanentError, TemporaryError, MulgilError)
}


def _tell_spans(run: FinishedRun) -> tuple[str, ...]:
    dataset = run.result.find_artifact("ingest-data", "dataset")
    if dataset is None:
        return ()
    states = {
        task.task.rpartition("/")[2]: task.state for task in open_run_store().list_tasks(run.record.run_id)
    }
    is_reused = states.get("ingest-data") is State.CACHED
    aside = run.result.find_artifact("ingest-data", "quarantine")
    manifest = DatasetManifest.read(dataset / DATASET_MANIFEST)
    if not manifest.spans or is_reused:
        return manifest.tell_spans(SpanNews())
    return manifest.tell_spans(SpanNews.read(aside / SpanNews.FILE) if aside else None)


def _summarise(run: FinishedRun, report: Path | None) -> None:
    evaluation_path = run.result.find_artifact("evaluate-model", "evaluation")
    assert evaluation_path is not None
    evaluation = Evaluation.read(evaluation_path)
    metric = evaluation.metrics[evaluation.primary_metric]
    output.print()
    for number, words in enumerate(_tell_spans(run)):
        output.print(f"{'' if number else 'rows':<14} {words}", markup=False)
    output.print(
        f"test {evaluation.primary_metric}   {metric.value:.4f} "
        f"({metric.confidence:.0%} interval {metric.low:.4f} to {metric.high:.4f}, {evaluation.rows} rows)"
    )
    folds = evaluation.cross_validation
    if folds is not None and evaluation.primary_metric in folds.metrics:
        mean = folds.metrics[evaluation.primary_metric]
        output.print(
            f"in folds       {mean.mean:.4f} "
            f"({mean.confidence:.0%} interval {mean.low:.4f} to {mean.high:.4f}, "
            f"standard deviation {mean.deviation:.4f}, {len(mean.values)} folds of {folds.rows} rows)"
        )
    if report is not None:
        output.print(f"report         {report}", markup=False)
    endpoint_path = run.result.find_artifact("deploy-model", "endpoint")
    if endpoint_path is None:
        output.print("not deployed   (run without --no-deploy to deploy)")
        return
    endpoint = Endpoint.read(endpoint_path)
    output.print(f"model version  {endpoint.name} {endpoint.model_version}")
    output.print(f"endpoint       {endpoint.url}")
    rollout_path = run.result.find_artifact("roll-out-model", "rollout")
    rollout = RolloutReference.read(rollout_path) if rollout_path is not None else None
    if rollout is not None and rollout.rollout_id is not None:
        # A step in a container could not leave a process behind that drives it.
        ensure_driven(RolloutStore(), rollout.rollout_id)
        output.print(f"rollout        {rollout.reason}", markup=False)
        output.print(f"               mulgil rollout watch {rollout.rollout_id}")
    output.print()
    output.print(curl_command(endpoint.url, endpoint.name, endpoint.example), markup=False)
