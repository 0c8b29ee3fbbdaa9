"""`mulgil compile`: a pipeline as Kubeflow Pipelines takes it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mulgil.artifacts import write_text
from mulgil.cli.console import output
from mulgil.errors import InputError, describe


def compile_command(
    pipeline: Annotated[str, typer.Argument(help="The pipeline's name.")] = "training",
    path: Annotated[
        Path | None, typer.Option("--output", help="File to write; the terminal where it is not given.")
    ] = None,
) -> None:
    """Compile PIPELINE to KFP v2's intermediate representation (YAML)."""
    from pipelines.compile import PIPELINES, compile_pipeline

    if pipeline not in PIPELINES:
        raise InputError(
            describe("There is no such pipeline", expected=", ".join(PIPELINES), received=pipeline)
        )
    text = compile_pipeline(pipeline)
    if path is None:
        output.out(text, highlight=False, end="")
    else:
        write_text(path, text)
        output.print(f"wrote {path}", markup=False)
