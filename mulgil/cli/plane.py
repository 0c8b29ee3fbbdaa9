"""`mulgil up` and `mulgil down`: the local serving plane, and interpreters kept warm."""

from __future__ import annotations

from typing import Annotated

import typer

from mulgil.cli.console import output
from mulgil.local.pipeline_spec import parse_pipeline
from mulgil.local.plane.client import ServingPlane
from mulgil.local.warm_interpreters import end_warm, keep_warm


def up_command(
    is_warm: Annotated[
        bool,
        typer.Option(
            "--warm",
            help="Also keep an interpreter for each step of the training pipeline, its imports done, for the"
            " next runs. Together they hold about 1.4 GB of memory, until `mulgil down`.",
        ),
    ] = False,
) -> None:
    """Start the local serving plane and everything that was deployed to it."""
    plane = ServingPlane()
    plane.up()
    output.print(f"The serving plane is up at {plane.base_url}")
    if is_warm:
        from pipelines.compile import compile_pipeline

        keep_warm(parse_pipeline(compile_pipeline("training")).images.values())
        output.print("Interpreters are being made ready for the next run; it need not wait for them.")


def down_command() -> None:
    """Stop the serving plane and the warm interpreters; what was deployed comes back with `mulgil up`."""
    end_warm()
    ServingPlane().down()
    output.print("The serving plane is down. `mulgil up` brings back what was deployed.")
