"""Which features were chosen, and how far each is from what chance makes of one that says nothing."""

from __future__ import annotations

from mulgil.artifacts import FeatureSelection
from mulgil.reports.charts import IntervalRow, axis_around, draw_intervals
from mulgil.reports.figures import Figure
from mulgil.reports.page import as_words, format_number

# As many as a reader looks through; the others stand in the table. By eye.
_MOST_ROWS = 30
# What stands beside a picture's rows without running into it.
_LONGEST_NAME = 11


def draw_selection(selection: FeatureSelection) -> Figure:
    """Draw every feature's importance as a dot beside the line of what chance gives."""
    ordered = sorted(selection.features, key=lambda feature: -feature.importance)
    rows = [
        IntervalRow(
            name=one.name if len(one.name) <= _LONGEST_NAME else one.name[: _LONGEST_NAME - 1] + "…",
            style="c-model" if one.is_kept else "c-baseline",
            value=one.importance,
            low=min(0.0, one.by_chance),
            high=one.by_chance,
        )
        for one in ordered[:_MOST_ROWS]
    ]
    words = "; ".join(
        f"{one.name} {one.importance:.3g} {'kept' if one.is_kept else 'left out'}" for one in ordered
    )
    title = f"Features by {as_words(selection.method)}"
    more = len(ordered) - len(rows)
    return Figure(
        title=title,
        note="each line is what chance gives a feature that says nothing"
        + (f"; {more} less important ones are left to the table" if more else ""),
        picture=draw_intervals(
            title,
            words,
            rows,
            axis=axis_around([0.0, *(end for row in rows for end in (row.value, row.high))]),
            marked=0.0,
        ),
        head=("", "importance", "by chance", ""),
        body=tuple(
            (
                one.name,
                format_number(one.importance),
                format_number(one.by_chance),
                "kept" if one.is_kept else "left out",
            )
            for one in ordered
        ),
    )
