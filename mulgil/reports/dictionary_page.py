"""The data dictionary as a page for people."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined

from mulgil.contract import Column, MissingPolicy, ProjectFolder
from mulgil.contract.values import describe_range


def render_dictionary_page(folder: ProjectFolder) -> str:
    """Write a project's problem and its columns as one HTML file."""
    environment = Environment(
        loader=PackageLoader("mulgil.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["missing"] = describe_missing
    environment.filters["range"] = describe_range
    template = environment.get_template("dictionary.html.jinja")
    return template.render(project=folder.project, dictionary=folder.dictionary)


def describe_missing(column: Column) -> str:
    """Say in words what happens where a column has no value."""
    if column.missing is MissingPolicy.CONSTANT:
        return f"filled with {column.missing_constant}"
    return {
        MissingPolicy.REJECT: "refused",
        MissingPolicy.DROP_ROW: "row left out of training, refused when serving",
        MissingPolicy.MEAN: "filled with the training rows' mean",
        MissingPolicy.MEDIAN: "filled with the training rows' median",
        MissingPolicy.MOST_FREQUENT: "filled with the training rows' most frequent value",
        MissingPolicy.NEW_CATEGORY: "a category of its own",
    }[column.missing]
