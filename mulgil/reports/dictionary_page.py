"""The data dictionary as a page for people."""

from __future__ import annotations

from mulgil.artifacts import FeatureSelection
from mulgil.contract import ProjectFolder
from mulgil.reports.page import open_templates
from mulgil.reports.selection_figure import draw_selection


def render_dictionary_page(folder: ProjectFolder, selection: FeatureSelection | None = None) -> str:
    """Write a project's problem and its columns as one HTML file.

    Args:
        folder: The project.
        selection: Which features its last model reads, where they were chosen.
    """
    template = open_templates().get_template("dictionary.html.jinja")
    return template.render(
        project=folder.project,
        dictionary=folder.dictionary,
        selection=selection,
        picture=draw_selection(selection) if selection else None,
    )
