"""`mulgil step`: one step of a run again, for whoever develops its component."""

from __future__ import annotations

import secrets
import sys
import time
from typing import Annotated

import typer

from mulgil.cli.console import output
from mulgil.errors import InputError, describe
from mulgil.home import home
from mulgil.local.inputs import Run
from mulgil.local.launch import folder_of, open_run_store
from mulgil.local.pipeline_spec import parse_pipeline
from mulgil.local.run_names import find_run, find_task
from mulgil.local.single_step import check_is_harmless, find_step, run_step


def step_command(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="As in `runs list`, or `latest`.")],
    step: Annotated[str, typer.Argument(metavar="STEP", help="Such as evaluate-model or evaluate_model.")],
    is_debugged: Annotated[
        bool, typer.Option("--pdb", help="Stop at the core's first line and where it fails, in the debugger.")
    ] = False,
    may_act_outside: Annotated[
        bool, typer.Option("--act-outside", help="Let a step act on this machine's stores and endpoints.")
    ] = False,
) -> None:
    """Run STEP of RUN again on its real inputs, with the code as it is now; the run stays as it was."""
    if is_debugged and not sys.stdin.isatty():
        raise InputError(describe("The debugger needs a terminal", received="--pdb with another input"))
    store = open_run_store()
    run = find_run(store, run_id)
    folder = folder_of(run.run_id)
    compiled = folder / "pipeline.yaml"
    if not compiled.is_file():
        raise InputError(describe("The run has no folder any more", received=f"run={run.run_id}"))
    pipeline = parse_pipeline(compiled.read_text(encoding="utf-8"))
    titles = dict(pipeline.task_names) | {task.task: task.title for task in store.list_tasks(run.run_id)}
    path = find_task(titles, step)
    identity = Run(run.run_id, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(run.started_at)))
    found = find_step(pipeline, identity, run.parameters, folder, path)
    if not may_act_outside:
        check_is_harmless(found)
    aside = home() / "steps" / f"{run.run_id}-{secrets.token_hex(2)}"
    attempt = run_step(found, identity, aside, is_debugged=is_debugged)
    if attempt.log is not None:
        output.out(attempt.log.read_text(encoding="utf-8", errors="replace"), highlight=False, end="")
        output.print()
    output.print(f"exit code  {attempt.exit_code}")
    output.print(f"outputs    {attempt.folder / 'artifacts'}", markup=False)
    if attempt.log is not None:
        output.print(f"log        {attempt.log}", markup=False)
    # As a shell says of a command that a signal ended.
    raise typer.Exit(attempt.exit_code if attempt.exit_code >= 0 else 128 - attempt.exit_code)
