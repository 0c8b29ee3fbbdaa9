"""The command line: one module a verb."""

from __future__ import annotations

import sys
from typing import NoReturn

import typer
from rich.text import Text

from mulgil.cli.apply import apply_command
from mulgil.cli.cache import cache_app
from mulgil.cli.compile import compile_command
from mulgil.cli.console import errors
from mulgil.cli.delete import delete_command
from mulgil.cli.deploy import deploy_command
from mulgil.cli.describe import describe_command
from mulgil.cli.dictionary import dictionary_command
from mulgil.cli.doctor import doctor_command
from mulgil.cli.explore import explore_command
from mulgil.cli.get import get_app
from mulgil.cli.init import init_command
from mulgil.cli.logs import logs_command
from mulgil.cli.models import models_app
from mulgil.cli.plan import plan_command
from mulgil.cli.plane import down_command, up_command
from mulgil.cli.predict import predict_command
from mulgil.cli.rollout import rollout_app
from mulgil.cli.run import run_command
from mulgil.cli.runs import runs_app
from mulgil.cli.schedule import schedule_app
from mulgil.cli.step import step_command
from mulgil.cli.submit import submit_command
from mulgil.errors import MulgilError
from mulgil.full_disk import as_full_disk

app = typer.Typer(
    name="mulgil",
    help="From a table and a data dictionary to a served model: one pipeline, one InferenceService.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("init")(init_command)
app.command("explore")(explore_command)
app.command("run")(run_command)
app.command("plan")(plan_command)
app.command("step")(step_command)
app.command("compile")(compile_command)
app.command("submit")(submit_command)
app.command("predict")(predict_command)
app.command("dictionary")(dictionary_command)
app.command("apply")(apply_command)
app.command("deploy")(deploy_command)
app.command("describe")(describe_command)
app.command("logs")(logs_command)
app.command("delete")(delete_command)
app.command("up")(up_command)
app.command("down")(down_command)
app.command("doctor")(doctor_command)
app.add_typer(runs_app, name="runs")
app.add_typer(models_app, name="models")
app.add_typer(rollout_app, name="rollout")
app.add_typer(schedule_app, name="schedule")
app.add_typer(cache_app, name="cache")
app.add_typer(get_app, name="get")


def main() -> None:
    """Run the command line; an error of ours is a message and an exit code, never a traceback."""
    try:
        app()
    except MulgilError as exc:
        _leave(exc)
    except Exception as exc:
        full = as_full_disk(exc)
        if full is None:
            raise
        _leave(full)


def _leave(error: MulgilError) -> NoReturn:
    # A path or a value may have brackets in it, which Rich would take for its markup.
    errors.print(Text.assemble(("error:", "bold red"), f" {error}"))
    sys.exit(error.exit_code)
