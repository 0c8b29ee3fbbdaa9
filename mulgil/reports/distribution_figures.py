"""How each column is spread: by the target's answer, and by split."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from mulgil.artifacts import ColumnDistribution
from mulgil.contract import Column, ColumnRole
from mulgil.divergence import name_cell
from mulgil.reports.charts import Axis, Line, axis_around, draw_bars, draw_lines
from mulgil.reports.evidence import RunEvidence
from mulgil.reports.figures import Figure
from mulgil.reports.page import format_number

_STYLES = {"yes": "c-yes", "no": "c-no", "all": "c-baseline"}


@dataclass(frozen=True)
class ColumnFigures:
    """A column's pictures.

    Attributes:
        column: The column.
        is_hidden: Whether its values may not be shown.
        by_answer: All its rows, by the target's answer.
        by_split: Its shares in each split.
        cells: What the distances between splits were measured in, where the bars are other bins.
        missing: Rows without a value.
    """

    column: Column
    is_hidden: bool
    by_answer: Figure | None = None
    by_split: Figure | None = None
    cells: Figure | None = None
    missing: int = 0


def draw_columns(evidence: RunEvidence) -> list[ColumnFigures]:
    """Draw the columns that were summarised, in the dictionary's order; a sensitive one is named alone."""
    if evidence.project is None or evidence.distributions is None:
        return []
    found = evidence.distributions.columns
    figures = []
    for column in evidence.project.dictionary.kept:
        if column.role not in (ColumnRole.FEATURE, ColumnRole.TARGET):
            continue
        # What an older or a hand-made summary holds of a sensitive column is not shown either.
        if column.sensitive:
            figures.append(ColumnFigures(column, is_hidden=True))
        elif column.name in found:
            figures.append(_draw_column(column, found[column.name]))
    return figures


def _draw_column(column: Column, spread: ColumnDistribution) -> ColumnFigures:
    bins = _name_bins(spread)
    answers = [answer for answer in _STYLES if any(answer in by_answer for by_answer in spread.rows.values())]
    stacks = [
        (
            answer,
            _STYLES[answer],
            _sum([by[answer] for by in spread.rows.values() if answer in by], len(bins)),
        )
        for answer in answers
    ]
    is_number = len(spread.edges) > 1
    unit = column.unit or ""
    axis = Axis(spread.edges[0], spread.edges[-1], unit) if is_number else None
    by_answer = Figure(
        title=f"{column.name} by answer",
        picture=draw_bars(
            f"{column.name} by answer",
            f"Rows in each of {len(bins)} bins, by the target's answer. {_describe(spread, unit)}",
            stacks,
            names=bins,
            x=axis,
        ),
        head=(unit or "value", *(f"{name} (rows)" for name, _, _ in stacks)),
        body=tuple(
            (name, *(format_number(numbers[i]) for _, _, numbers in stacks)) for i, name in enumerate(bins)
        ),
    )
    return ColumnFigures(
        column,
        False,
        by_answer,
        _draw_splits(column, spread, bins, axis),
        _list_cells(column, spread),
        sum(spread.missing.values()),
    )


def _list_cells(column: Column, spread: ColumnDistribution) -> Figure | None:
    """Return the rows in each cell of the distances as a table; those empty in every split are left out."""
    if not spread.cells:
        return None
    names = map(name_cell, pairwise((-math.inf, *spread.cell_edges, math.inf)))
    counts = zip(names, *spread.cells.values(), strict=True)
    return Figure(
        title=f"Cells behind the distances of {column.name}",
        picture=Markup(),
        head=(column.unit or "value", *(f"{split} (rows)" for split in spread.cells)),
        body=tuple((name, *map(format_number, rows)) for name, *rows in counts if any(rows)),
    )


def _draw_splits(
    column: Column, spread: ColumnDistribution, bins: Sequence[str], axis: Axis | None
) -> Figure:
    shares = {}
    for split, by_answer in spread.rows.items():
        counts = _sum(list(by_answer.values()), len(bins))
        whole = sum(counts) or 1
        shares[split] = [count / whole for count in counts]
    edges = spread.edges if len(spread.edges) > 1 else tuple(map(float, range(len(bins) + 1)))
    lines = [
        Line(split, f"c-{split}", _outline(edges, values), is_stepped=True)
        for split, values in shares.items()
    ]
    highest = max((value for values in shares.values() for value in values), default=1.0)
    # Of codes, the bars above say where each stands.
    x = axis or Axis(edges[0], max(edges[-1], edges[0] + 1))
    title = f"{column.name} by split"
    return Figure(
        title=title,
        picture=draw_lines(
            title,
            "Share of each split's rows in each bin: where the lines part, the splits differ.",
            lines,
            x=Axis(x.low, x.high),
            y=axis_around([0.0, highest], low=0.0),
            height=110,
            has_x_ticks=False,
            most_y_ticks=3,
        ),
        head=("value", *shares),
        body=tuple(
            (name, *(f"{values[i]:.1%}" for values in shares.values())) for i, name in enumerate(bins)
        ),
    )


def _outline(edges: Sequence[float], values: Sequence[float]) -> list[tuple[float, float]]:
    """Return the outline of a histogram: at each edge, the height of the bin that begins there."""
    points = list(zip(edges, values, strict=False))
    return [(edges[0], 0.0), *points, (edges[-1], 0.0)]


def _name_bins(spread: ColumnDistribution) -> list[str]:
    if spread.categories:
        return list(spread.categories)
    return [_name_bin(low, high) for low, high in pairwise(spread.edges)]


def _name_bin(low: float, high: float) -> str:
    # Edges of whole numbers lie half-way between them.
    if (low + 0.5).is_integer() and (high + 0.5).is_integer():
        first, last = low + 0.5, high - 0.5
        return format_number(first) if first == last else f"{format_number(first)} to {format_number(last)}"
    return f"{format_number(low)} to {format_number(high)}"


def _sum(counts: Sequence[Sequence[int]], bins: int) -> list[int]:
    return [sum(column) for column in zip(*counts, strict=True)] if counts else [0] * bins


def _describe(spread: ColumnDistribution, unit: str) -> str:
    if len(spread.quartiles) != 5:
        return ""
    least, lower, median, upper, greatest = map(format_number, spread.quartiles)
    return (
        f"Training rows: from {least} to {greatest} {unit}, half of them from {lower} to {upper}, "
        f"median {median}.".replace("  ", " ")
    )
