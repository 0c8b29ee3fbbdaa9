"""What is said of a table that no dictionary describes yet."""

from typing import Annotated

import typer

EntityOption = Annotated[str | None, typer.Option(help="The column that says what a row is about.")]
EventTimestampOption = Annotated[
    str | None, typer.Option(help="The column that says when a row became true.")
]
TaskOption = Annotated[str | None, typer.Option(help="The task, where the target does not tell.")]
HeaderOption = Annotated[
    str | None, typer.Option(help="The columns by commas, where the file has no header line.")
]
