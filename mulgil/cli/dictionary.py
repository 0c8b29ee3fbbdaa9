"""`mulgil dictionary`: a project's data dictionary as a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mulgil.artifacts import write_text
from mulgil.cli.console import output
from mulgil.contract import load_project
from mulgil.reports.dictionary_page import render_dictionary_page
from mulgil.reports.writing import find_selection


def dictionary_command(
    project: Annotated[Path, typer.Argument(help="The project's folder.")] = Path("projects/breast_cancer"),
    path: Annotated[Path, typer.Option("--output", help="File to write.")] = Path("dictionary.html"),
) -> None:
    """Write PROJECT's data dictionary as a page that opens without a network.

    Where its last run chose features, the page tells which, and why.
    """
    folder = load_project(project)
    write_text(path, render_dictionary_page(folder, find_selection(folder.project.name)))
    output.print(f"wrote {path}", markup=False)
