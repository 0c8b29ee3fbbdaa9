"""`mulgil cache`: the outputs that are kept for steps with the same inputs."""

from __future__ import annotations

from typing import Annotated

import typer

from mulgil.cli.console import output
from mulgil.local.launch import open_cache

_SECONDS_A_DAY = 86400

cache_app = typer.Typer(help="The outputs that steps left.", no_args_is_help=True)


# With a callback a group of one command stays a group.
@cache_app.callback()
def cache_command() -> None:
    """The outputs that steps left, by what they depend on."""


@cache_app.command("prune")
def prune_command(
    days: Annotated[float, typer.Option("--older-than-days", min=0, help="Days since the last use.")] = 30,
) -> None:
    """Remove outputs that no run has used for a time. Runs keep theirs."""
    entries, size = open_cache().prune(days * _SECONDS_A_DAY)
    output.print(
        f"removed {entries} entries of {size / 2**20:.1f} MiB; what a run still holds stays on the disk"
    )
