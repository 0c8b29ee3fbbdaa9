"""A table as a page, before anything is learned of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from mulgil.drafting.profile import ColumnProfile, Kind
from mulgil.exploration.columns import BINS, Explored, is_number, words_of
from mulgil.exploration.findings import ColumnFinding, Findings
from mulgil.reports.charts import Axis, axis_around, draw_bars, draw_points
from mulgil.reports.figures import Figure
from mulgil.reports.image_figures import arrange_images
from mulgil.reports.page import format_number, open_templates

# More of them are read by nobody. Chosen by eye.
_VALUES_SHOWN = 10
_SAMPLES = 3
_LONGEST_SAMPLE = 300
_POINTS = 2_000

_STYLES = ("c-model", "c-reference", "c-champion", "c-yes", "c-test", "c-train")


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
    grids = arrange_images(explored)
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
            map=_draw_map(explored, findings),
            grids=grids,
            is_target_hidden=explored.target.name in explored.hidden,
        )
    )


def _card(explored: Explored, profile: ColumnProfile, found: ColumnFinding | None) -> ColumnCard:
    is_hidden = profile.name in explored.hidden
    figure = None if is_hidden else _draw(profile)
    samples = (
        () if is_hidden or profile.kind is not Kind.TEXT or profile.mean_length < 20 else _sample(profile)
    )
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


def _sample(profile: ColumnProfile) -> tuple[str, ...]:
    """Return texts from the longest to the shortest of the commonest ones."""
    words = sorted((word for word, _ in profile.values), key=len)
    places = np.linspace(len(words) - 1, 0, _SAMPLES).astype(int)
    return tuple(dict.fromkeys(words[place][:_LONGEST_SAMPLE] for place in places))


def _shorten(word: str) -> str:
    return word if len(word) <= 40 else f"{word[:39]}…"


def _draw_map(explored: Explored, findings: Findings) -> Figure | None:
    """Draw the rows by latitude and longitude, in the target's colours where it is a class."""
    if findings.places is None:
        return None
    by_name = {profile.name: profile for profile in explored.profiles}
    latitude, longitude = (by_name[name].numbers for name in findings.places)
    there = np.flatnonzero(np.isfinite(latitude) & np.isfinite(longitude))
    there = there[np.linspace(0, len(there) - 1, min(_POINTS, len(there))).astype(np.int64)]
    series = []
    target = explored.target
    if explored.is_a_number or target.name in explored.hidden:
        series.append(("rows", "c-model", there))
    else:
        words = words_of(target)
        for style, code in zip(_STYLES, words, strict=False):
            series.append((words[code], style, there[target.codes[there] == code]))
    west, east = float(longitude[there].min()), float(longitude[there].max())
    south, north = float(latitude[there].min()), float(latitude[there].max())
    # A degree of longitude is shorter the further from the equator.
    wide = max(1e-9, (east - west) * float(np.cos(np.radians((north + south) / 2))))
    height = float(np.clip(330 * (north - south) / wide, 160, 420)) + 56
    points = [
        (name, style, list(zip(longitude[at].tolist(), latitude[at].tolist(), strict=True)))
        for name, style, at in series
    ]
    return Figure(
        title=f"{findings.places[0]} and {findings.places[1]}",
        picture=draw_points(
            "Map of the rows",
            f"{format_number(len(there))} rows, from {west:.3g} to {east:.3g} east and {south:.3g} to "
            f"{north:.3g} north.",
            points,
            x=axis_around([west, east], findings.places[1]),
            y=axis_around([south, north], findings.places[0]),
            height=height,
        ),
        head=("", "rows", "mean latitude", "mean longitude"),
        body=tuple(
            (
                name,
                format_number(len(of)),
                f"{np.mean([y for _, y in of]):.4g}" if of else "",
                f"{np.mean([x for x, _ in of]):.4g}" if of else "",
            )
            for name, _, of in points
        ),
    )
