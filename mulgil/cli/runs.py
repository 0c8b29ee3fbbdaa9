"""`mulgil runs`: what has been run on this machine."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from mulgil.artifacts import write_text
from mulgil.cli.console import output
from mulgil.cli.progress import duration
from mulgil.cli.tables import align
from mulgil.errors import InputError, describe
from mulgil.home import home
from mulgil.local.housekeeping import delete_run, find_needed, measure, size_of, sweep
from mulgil.local.launch import folder_of, open_run_store
from mulgil.local.retention import choose_expendable, format_size, parse_age, parse_size
from mulgil.local.run_names import find_run
from mulgil.local.run_store import State, TaskRecord
from mulgil.local.task_folder import log_of
from mulgil.reports.comparison import NOTHING, Row, compare
from mulgil.reports.comparison_page import render_comparison_page
from mulgil.reports.evidence import read_log
from mulgil.reports.writing import gather, write_report

runs_app = typer.Typer(help="The runs on this machine.", no_args_is_help=True)

Run = Annotated[str, typer.Argument(metavar="RUN", help="As in `runs list`, or `latest`.")]


@runs_app.command("list")
def list_command() -> None:
    """List every run, the newest first, with the disk that it takes."""
    runs = open_run_store().list_runs()
    if not runs:
        output.print("No runs yet. Start one with `mulgil run projects/breast_cancer`.")
        return
    rows, total = [], 0
    for run in runs:
        started = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(run.started_at))
        took = f"{run.ended_at - run.started_at:.0f} s" if run.ended_at else ""
        size = size_of(folder_of(run.run_id))
        total += size
        rows.append((run.run_id, run.pipeline, run.project, run.state, started, took, format_size(size)))
    header = ("RUN", "PIPELINE", "PROJECT", "STATE", "STARTED", "DURATION", "DISK")
    output.out(align(header, *rows), highlight=False)
    output.print(f"\n{len(runs)} runs, {format_size(total)}")


@runs_app.command("show")
def show_command(run_id: Run) -> None:
    """Show a run: its parameters, its disk use, and each step with its state, duration and log."""
    store = open_run_store()
    run = find_run(store, run_id)
    folder = folder_of(run.run_id)
    output.print(f"{run.run_id}  {run.state}")
    for name, value in run.parameters.items():
        output.print(f"  {name} = {value}", markup=False)
    output.print(f"  {format_size(size_of(folder))} in {folder}", markup=False)
    output.print()
    rows = [_show_task(task, folder) for task in store.list_tasks(run.run_id)]
    output.out(align(("STEP", "STATE", "DURATION", "EXIT CODE", "LOG"), *rows), highlight=False)


def _show_task(task: TaskRecord, folder: Path) -> tuple[str, ...]:
    ran = task.state not in (State.SKIPPED, State.BLOCKED)
    log = log_of(folder, task.task, task.attempt if task.state is State.RETRIED else None)
    return (
        task.title if task.attempt == 1 else f"{task.title}, attempt {task.attempt}",
        task.state,
        f"{duration(task):.1f} s" if ran and (task.ended_at or not task.state.is_final) else "",
        "" if task.exit_code is None else str(task.exit_code),
        str(log) if ran else "",
    )


@runs_app.command("logs")
def logs_command(
    run_id: Run,
    step: Annotated[str | None, typer.Argument(metavar="STEP", help="One step; all where not given.")] = None,
) -> None:
    """Print what the steps of a run wrote, in the order in which they started."""
    store = open_run_store()
    run = find_run(store, run_id)
    titles = {task.task: task.title for task in store.list_tasks(run.run_id)}
    # `train_model` is what the component is called, `train-model` the step.
    wanted = None if step is None else step.replace("_", "-")
    chosen = [path for path, title in titles.items() if wanted in (None, path, title)]
    if wanted is not None and not chosen:
        names = ", ".join(titles.values()) or "none has started"
        raise InputError(describe(f"{run.run_id} has no such step", expected=names, received=f"step={step}"))
    for path in chosen:
        log = read_log(folder_of(run.run_id), path)
        if wanted is None and not log:
            continue
        if wanted is None:
            output.print(f"== {path}", markup=False)
        output.out(log, highlight=False, end="" if log.endswith("\n") or not log else "\n")


@runs_app.command("report")
def report_command(
    run_id: Run,
    path: Annotated[
        Path | None,
        typer.Option("--output", help="File to write; report.html in the run's folder if not given."),
    ] = None,
) -> None:
    """Write a run as one page that opens without a network."""
    output.print(f"wrote {write_report(find_run(open_run_store(), run_id), path)}", markup=False)


@runs_app.command("compare")
def compare_command(
    first: Annotated[str, typer.Argument(metavar="A", help="A run, as in `runs list`, or `latest`.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another.")],
    path: Annotated[
        Path | None, typer.Option("--output", help="Page to write; on the terminal if not given.")
    ] = None,
) -> None:
    """Show what differs between two runs: settings, data, metrics, verdicts, durations."""
    store = open_run_store()
    comparison = compare(*(gather(find_run(store, name)) for name in (first, second)))
    if path is not None:
        write_text(path, render_comparison_page(comparison))
        output.print(f"wrote {path}", markup=False)
        return
    output.print(f"A  {comparison.a.run.run_id}\nB  {comparison.b.run.run_id}", markup=False)
    _print_rows("SET DIFFERENTLY", comparison.settings or [Row("nothing", NOTHING, NOTHING)])
    _print_rows("IN AND OUT", comparison.fingerprints)
    _print_rows("METRIC", comparison.metrics)
    if comparison.is_on_same_rows is False:
        output.print("Measured on different rows: their own chance is in the difference too.")
    _print_rows("VERDICT", comparison.verdicts)
    _print_rows("DURATION", comparison.durations)


def _print_rows(title: str, rows: list[Row] | tuple[Row, ...]) -> None:
    if rows:
        output.print()
        cells = [
            (row.name, row.a, row.b, row.note or ("differs" if row.is_different else "")) for row in rows
        ]
        output.out(align((title, "A", "B", ""), *cells), highlight=False)


@runs_app.command("delete")
def delete_command(run_id: Run) -> None:
    """Delete a run with all that its steps wrote; registered versions keep their own bundles."""
    store = open_run_store()
    run = find_run(store, run_id)
    size = size_of(folder_of(run.run_id))
    delete_run(store, run, find_needed([run]))
    output.print(f"deleted {run.run_id}, {format_size(size)}", markup=False)


@runs_app.command("prune")
def prune_command(
    older_than: Annotated[
        str | None, typer.Option(metavar="AGE", help="Delete runs that ended so long ago, such as 30d.")
    ] = None,
    keep_size: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Delete the oldest until the others take so much, such as 5GB."),
    ] = None,
    is_dry: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and delete nothing.")] = False,
) -> None:
    """Delete old runs; never one that is running, or that a deployed or registered model needs."""
    if older_than is None and keep_size is None:
        raise InputError(
            describe("Nothing says what may go", expected="--older-than 30d, --keep-size 5GB, or both")
        )
    age = parse_age(older_than) if older_than else None
    limit = parse_size(keep_size) if keep_size else None
    store = open_run_store()
    records = {run.run_id: run for run in store.list_runs()}
    needed = find_needed(list(records.values()))
    runs = [measure(run) for run in records.values()]
    gone = choose_expendable(runs, needed, now=time.time(), older_than=age, keep_size=limit)
    for run in gone:
        if not is_dry:
            delete_run(store, records[run.run_id], needed)
        output.print(
            f"{'would delete' if is_dry else 'deleted'} {run.run_id}, {format_size(run.size)}", markup=False
        )
    if not is_dry:
        sweep(home() / "runs")
    for name, reason in needed.items():
        output.print(f"kept {name}: {reason}", markup=False)
    left = sum(run.size for run in runs) - sum(run.size for run in gone)
    freed = sum(run.size for run in gone)
    output.print(f"{format_size(freed)} {'to free' if is_dry else 'freed'}, {format_size(left)} left")
