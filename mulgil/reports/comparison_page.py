"""Two runs side by side, as a page."""

from __future__ import annotations

from mulgil.artifacts import Interval
from mulgil.reports.charts import IntervalRow, axis_around, draw_intervals
from mulgil.reports.comparison import Comparison
from mulgil.reports.figures import Figure
from mulgil.reports.page import as_words, open_templates


def render_comparison_page(comparison: Comparison) -> str:
    """Write a comparison as one HTML file that opens without a network."""
    return (
        open_templates()
        .get_template("comparison.html.jinja")
        .render(comparison=comparison, metrics=_draw_metrics(comparison))
    )


def _draw_metrics(comparison: Comparison) -> list[Figure]:
    of_a, of_b = (run.evaluation.metrics if run.evaluation else {} for run in (comparison.a, comparison.b))
    figures = []
    for name in (name for name in of_a if name in of_b):
        rows = [_row("A", "c-reference", of_a[name]), _row("B", "c-model", of_b[name])]
        words = "; ".join(f"{row.name} {row.value:.3f} ({row.low:.3f} to {row.high:.3f})" for row in rows)
        axis = axis_around(value for row in rows for value in (row.low, row.value, row.high))
        figures.append(
            Figure(
                title=as_words(name),
                picture=draw_intervals(as_words(name), words, rows, axis=axis),
            )
        )
    return figures


def _row(name: str, style: str, interval: Interval) -> IntervalRow:
    return IntervalRow(name, style, interval.value, interval.low, interval.high)
