"""What every page shares: the templates, and how numbers, times and sizes are written."""

from __future__ import annotations

import time

from jinja2 import Environment, PackageLoader, StrictUndefined

from mulgil.contract import Column, Metric, MissingPolicy
from mulgil.contract.values import describe_range


def open_templates() -> Environment:
    """Return the templates; what is put into them is escaped, and a name that is missing is an error."""
    environment = Environment(
        loader=PackageLoader("mulgil.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["missing"] = describe_missing
    environment.filters["range"] = describe_range
    environment.filters["number"] = format_number
    environment.filters["seconds"] = format_seconds
    environment.filters["moment"] = format_moment
    environment.filters["words"] = as_words
    return environment


def format_number(value: float) -> str:
    """Write a number for a reader: whole ones with groups of three, others with four significant digits."""
    if float(value).is_integer() and abs(value) < 1e9:
        return f"{int(value):,}"
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:.4g}"


def format_seconds(seconds: float) -> str:
    """Write a duration, such as `3.2 s`, `4 min 10 s` or `2 h 5 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def format_moment(moment: float) -> str:
    """Write a moment given in seconds since the epoch, in the time zone of this machine."""
    return time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(moment))


def as_words(name: str) -> str:
    """Write a name of the machine's as words."""
    return name.replace("_", " ").replace("-", " ")


def name_metric(metric: str) -> str:
    """Write a metric's name as the field does."""
    return {
        Metric.ROC_AUC: "ROC AUC",
        Metric.PR_AUC: "PR AUC",
        Metric.F1: "F1",
        Metric.BRIER: "Brier score",
        Metric.R2: "R²",
        Metric.MAE: "mean absolute error",
        Metric.RMSE: "root mean squared error",
        Metric.PINBALL: "pinball loss",
    }.get(Metric(metric), as_words(metric))


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
        MissingPolicy.KEEP: "left without one, for what is derived of it to tell",
    }[column.missing]
