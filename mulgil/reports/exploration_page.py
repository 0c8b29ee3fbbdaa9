"""A table as a page, before anything is learned of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from mulgil.drafting.profile import ColumnProfile, Kind
from mulgil.exploration.columns import BINS, Explored, is_number
from mulgil.exploration.findings import ColumnFinding, Findings
from mulgil.reports.charts import Axis, draw_bars
from mulgil.reports.figures import Figure
from mulgil.reports.page import format_number, open_templates
from mulgil.reports.sample_figures import draw_samples, sample_texts

# More of them are read by nobody. Chosen by eye.
_VALUES_SHOWN = 10


@dataclass(frozen=True)
class ColumnCard:
    """A column as it is shown.

    Attributes:
        name: The column.
        facts: What it is, in a line.
        is_hidden: Whether its values may not be shown.
        figure: Its picture.
        samples: Some of its texts.
        found: What was found of it; `None` of the target.
    """

    name: str
    facts: str
    is_hidden: bool
    figure: Figure | None
    samples: tuple[str, ...]
    found: ColumnFinding | None


def render_exploration_page(name: str, explored: Explored, findings: Findings) -> str:
    """Write a table as one HTML file that opens without a network.

    Args:
        name: What the table is called.
        explored: The table.
        findings: What was found of it.
    """
    samples = draw_samples(explored)
    grids = samples.grids
    shown_as_images = {grid.column for grid in grids}
    cards = [
        _card(explored, found.profile, found)
        for found in findings.columns
        if found.profile.name not in shown_as_images
    ]
    return (
        open_templates()
        .get_template("exploration.html.jinja")
        .render(
            name=name,
            explored=explored,
            findings=findings,
            topics=Counter(suggestion.topic for suggestion in findings.suggestions),
            target=_card(explored, explored.target, None),
            powers=[card for card in cards if card.found is not None and card.found.power is not None],
            cards=cards,
            map=samples.map,
            legend=samples.legend,
            grids=grids,
            is_target_hidden=explored.target.name in explored.hidden,
        )
    )


def _card(explored: Explored, profile: ColumnProfile, found: ColumnFinding | None) -> ColumnCard:
    is_hidden = profile.name in explored.hidden
    figure = None if is_hidden else _draw(profile)
    samples = () if is_hidden else sample_texts(profile)
    return ColumnCard(profile.name, _describe(profile), is_hidden, figure, samples, found)


def _describe(profile: ColumnProfile) -> str:
    kind = {
        Kind.NUMBER: "numbers",
        Kind.WHOLE: "whole numbers",
        Kind.TRUTH: "yes or no",
        Kind.TIME: "times",
        Kind.TEXT: "words",
        Kind.OTHER: "neither numbers, words nor times",
    }[profile.kind]
    parts = [f"{kind}, {format_number(profile.distinct)} different"]
    if profile.missing:
        share = profile.missing / profile.rows
        parts.append(f"missing in {format_number(profile.missing)} rows ({share:.1%})")
    return "; ".join(parts)


def _draw(profile: ColumnProfile) -> Figure | None:
    if is_number(profile) and profile.kind is not Kind.TRUTH and profile.distinct > _VALUES_SHOWN:
        return _draw_histogram(profile)
    return _draw_values(profile) if profile.values else None


def _draw_histogram(profile: ColumnProfile) -> Figure:
    values = profile.finite
    lower, upper = np.quantile(values, [0.25, 0.75])
    reach = 3 * (upper - lower)
    # Of the usual values, because one that is far would leave all others in one bar.
    shown = values[(values >= lower - reach) & (values <= upper + reach)] if reach else values
    counts, edges = np.histogram(shown, BINS)
    names = [f"{format_number(a)} to {format_number(b)}" for a, b in pairwise(edges)]
    least, first, median, third, greatest = map(format_number, np.quantile(values, [0, 0.25, 0.5, 0.75, 1]))
    summary = f"From {least} to {greatest}, half of them from {first} to {third}, median {median}."
    left_out = len(values) - len(shown)
    note = f"{format_number(left_out)} rows are beyond both ends." if left_out else ""
    return Figure(
        title=profile.name,
        picture=draw_bars(
            profile.name,
            f"{summary} {note}".strip(),
            [("rows", "c-model", counts.tolist())],
            names=names,
            x=Axis(float(edges[0]), float(edges[-1])),
        ),
        note=f"{summary} {note}".strip(),
        head=("value", "rows"),
        body=tuple((name, format_number(count)) for name, count in zip(names, counts, strict=True)),
    )


def _draw_values(profile: ColumnProfile) -> Figure:
    shown = [(_shorten(word), rows) for word, rows in profile.values[:_VALUES_SHOWN]]
    others = profile.present - sum(rows for _, rows in shown)
    if others > 0:
        shown.append(("all others", others))
    total = max(1, profile.present)
    return Figure(
        title=profile.name,
        picture=draw_bars(
            profile.name,
            f"Rows of the commonest values, of {format_number(profile.distinct)}.",
            [("rows", "c-model", [rows for _, rows in shown])],
            names=[word for word, _ in shown],
        ),
        head=("value", "rows", "share"),
        body=tuple((word, format_number(rows), f"{rows / total:.1%}") for word, rows in shown),
    )


def _shorten(word: str) -> str:
    return word if len(word) <= 40 else f"{word[:39]}…"
