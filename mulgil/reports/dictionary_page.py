"""The data dictionary as a page for people."""

from __future__ import annotations

from mulgil.contract import ProjectFolder
from mulgil.reports.page import open_templates


def render_dictionary_page(folder: ProjectFolder) -> str:
    """Write a project's problem and its columns as one HTML file."""
    template = open_templates().get_template("dictionary.html.jinja")
    return template.render(project=folder.project, dictionary=folder.dictionary)
