"""`mulgil run`: the training pipeline on a project, to a served model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mulgil.artifacts import Endpoint, Evaluation
from mulgil.cli.console import errors, output
from mulgil.cli.progress import progress_on
from mulgil.errors import GateRejectedError, InputError, MulgilError, PermanentError, TemporaryError
from mulgil.home import home
from mulgil.local.launch import FinishedRun, folder_of, launch
from mulgil.local.project_snapshot import parse_setting, snapshot_project
from mulgil.local.runner import log_of
from mulgil.reports.writing import write_report
from mulgil.serving.requests import curl_command

_LOG_LINES_SHOWN = 30


def run_command(
    project: Annotated[
        Path, typer.Argument(help="Folder with project.yaml and data_dictionary.yaml.")
    ] = Path("projects/breast_cancer"),
    source: Annotated[
        str | None, typer.Option(help="A path or URL to read instead of the project's source.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Replace a value of project.yaml for this run."),
    ] = None,
    is_deployed: Annotated[
        bool, typer.Option("--deploy/--no-deploy", help="Deploy the model when it is approved.")
    ] = True,
) -> None:
    """Run the training pipeline on PROJECT: ingest, validate, train, judge, register, deploy."""
    # Before kfp is imported, so that a mistake in a project is shown at once.
    snapshot = snapshot_project(
        project, dict(parse_setting(text) for text in settings or []), home() / "projects"
    )
    from pipelines.compile import compile_pipeline

    parameters = {
        "project_path": str(snapshot.path),
        "source": _located(source),
        "is_deployed": is_deployed,
    }
    with progress_on(output) as progress:
        run = launch(
            compile_pipeline("training"),
            snapshot.project.name,
            parameters,
            progress.announce,
            progress.observe,
        )
    report = _write_report(run)
    if run.result.failed:
        _explain(run, report)
    _summarise(run, report)


def _located(source: str | None) -> str:
    """Make a path absolute, as the steps work in folders of their own."""
    if source is None or "://" in source:
        return source or ""
    path = Path(source).resolve()
    if not path.is_file():
        raise InputError(f"The source does not exist.\n  Received: --source {source}")
    return str(path)


def _write_report(run: FinishedRun) -> Path | None:
    """Write the run's page; a run that is done is not undone by a page that cannot be written."""
    try:
        return write_report(run.record)
    except (MulgilError, OSError) as exc:
        errors.print(f"The report could not be written: {exc}", markup=False)
        return None


def _explain(run: FinishedRun, report: Path | None) -> None:
    """Show the end of the log of the step that failed, and leave with its exit code."""
    task = run.result.failed[0]
    log = log_of(folder_of(run.record.run_id), task)
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    errors.print(f"\n{task} failed; the end of its log ({log}):\n", markup=False)
    errors.print("\n".join(f"  {line}" for line in lines[-_LOG_LINES_SHOWN:]), markup=False)
    if report is not None:
        errors.print(f"\nreport         {report}", markup=False)
    code = run.result.tasks[task].exit_code
    raise typer.Exit(code if code in _OWN_EXIT_CODES else 1)


_OWN_EXIT_CODES = {
    kind.exit_code for kind in (InputError, GateRejectedError, PermanentError, TemporaryError, MulgilError)
}


def _summarise(run: FinishedRun, report: Path | None) -> None:
    evaluation_path = run.result.find_artifact("evaluate-model", "evaluation")
    assert evaluation_path is not None
    evaluation = Evaluation.read(evaluation_path)
    metric = evaluation.metrics[evaluation.primary_metric]
    output.print()
    output.print(
        f"test {evaluation.primary_metric}   {metric.value:.4f} "
        f"({metric.confidence:.0%} interval {metric.low:.4f} to {metric.high:.4f}, {evaluation.rows} rows)"
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
    output.print()
    output.print(curl_command(endpoint.url, endpoint.name, endpoint.example), markup=False)
