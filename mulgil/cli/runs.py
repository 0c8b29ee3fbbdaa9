"""`mulgil runs`: what has been run on this machine."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from rich.table import Table

from mulgil.cli.console import output
from mulgil.cli.progress import duration
from mulgil.local.launch import folder_of, open_run_store
from mulgil.local.run_store import State
from mulgil.local.task_folder import log_of

runs_app = typer.Typer(help="The runs on this machine.", no_args_is_help=True)


@runs_app.command("list")
def list_command() -> None:
    """List every run, the newest first."""
    runs = open_run_store().list_runs()
    if not runs:
        output.print("No runs yet. Start one with `mulgil run projects/breast_cancer`.")
        return
    table = Table("RUN", "PIPELINE", "PROJECT", "STATE", "STARTED", "DURATION", box=None)
    for run in runs:
        started = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(run.started_at))
        took = f"{run.ended_at - run.started_at:.0f} s" if run.ended_at else ""
        table.add_row(run.run_id, run.pipeline, run.project, run.state, started, took)
    output.print(table)


@runs_app.command("show")
def show_command(run_id: Annotated[str, typer.Argument(metavar="RUN", help="As in `runs list`.")]) -> None:
    """Show a run: its parameters, and each step with its state, duration and log."""
    store = open_run_store()
    run = store.read_run(run_id)
    output.print(f"{run.run_id}  {run.state}")
    for name, value in run.parameters.items():
        output.print(f"  {name} = {value}", markup=False)
    output.print()
    table = Table("STEP", "STATE", "DURATION", "EXIT CODE", "LOG", box=None)
    for task in store.list_tasks(run_id):
        ran = task.state not in (State.SKIPPED, State.BLOCKED)
        log = log_of(folder_of(run_id), task.task, task.attempt if task.state is State.RETRIED else None)
        table.add_row(
            task.title if task.attempt == 1 else f"{task.title}, attempt {task.attempt}",
            task.state,
            f"{duration(task):.1f} s" if ran else "",
            "" if task.exit_code is None else str(task.exit_code),
            str(log) if ran else "",
        )
    output.print(table)
