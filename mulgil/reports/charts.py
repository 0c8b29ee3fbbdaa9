"""Pictures as inline SVG: small pure functions of numbers, without a script.

A picture takes its colours from the page's style by class, so that one file is right in light, in dark and in
print. Each has a title and a description for those who do not see it; the page puts its numbers below it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from mulgil.reports.page import format_number

# In units of the picture, which are pixels on a telephone and up to half as much more on a desk. By eye.
WIDTH = 360.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 40.0, 10.0, 22.0, 34.0
# What a picture without numbers on an axis needs there.
_BARE = 8.0


@dataclass(frozen=True)
class Axis:
    """One direction of a picture.

    Attributes:
        low: Where it starts.
        high: Where it ends; more than `low`.
        label: What it measures.
    """

    low: float
    high: float
    label: str = ""

    def place(self, value: float, start: float, end: float) -> float:
        """Return where a value stands between two places; one beyond the axis stands at its end."""
        share = (value - self.low) / (self.high - self.low)
        return start + (end - start) * min(1.0, max(0.0, share))

    def ticks(self, most: int = 5) -> list[float]:
        """Return at most so many round values on the axis.

        Source:
            Heckbert (1990), Nice numbers for graph labels, Graphics Gems: steps of 1, 2 and 5.
        """
        least_step = (self.high - self.low) / max(1, most - 1)
        power = 10.0 ** math.floor(math.log10(least_step))
        step = next(power * m for m in (1, 2, 5, 10) if power * m >= least_step * (1 - 1e-9))
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [round(i * step, 12) for i in range(first, last + 1)]


@dataclass(frozen=True)
class Line:
    """A line through points.

    Attributes:
        name: What it is.
        style: The class of its colour.
        points: Its points, in order.
        is_stepped: Whether it goes level to the next point, then straight up or down.
        has_dots: Whether each point is marked.
        is_joined: Whether the points are joined at all.
        spread: How far each point is known to either side; empty where that is not shown.
    """

    name: str
    style: str
    points: Sequence[tuple[float, float]]
    is_stepped: bool = False
    has_dots: bool = False
    is_joined: bool = True
    spread: Sequence[float] = ()


@dataclass(frozen=True)
class IntervalRow:
    """A value with the interval that it is known to, in a row of its own.

    Attributes:
        name: What it is.
        style: The class of its colour.
        value: The value.
        low: The interval's lower end.
        high: Its upper end.
    """

    name: str
    style: str
    value: float
    low: float
    high: float


def axis_around(values: Iterable[float], label: str = "", *, low: float | None = None) -> Axis:
    """Return an axis that holds some values, with a little room; from `low`, where it is given."""
    found = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    least, greatest = min(found), max(found)
    room = (greatest - least) * 0.06 or abs(greatest) * 0.1 or 1.0
    return Axis(least - room if low is None else low, greatest + room, label)


def draw_lines(
    title: str,
    description: str,
    lines: Sequence[Line],
    *,
    x: Axis,
    y: Axis,
    height: float = 260,
    is_diagonal_shown: bool = False,
    marked_x: float | None = None,
    has_x_ticks: bool = True,
    most_y_ticks: int = 5,
) -> Markup:
    """Draw lines over two axes.

    Args:
        title: What the picture is.
        description: What it shows, for those who do not see it.
        lines: The lines; the first is drawn last, on top.
        x: The level axis.
        y: The upright axis.
        height: Of the picture, in its units.
        is_diagonal_shown: Whether a line from corner to corner is the measure.
        marked_x: Where an upright line stands.
        has_x_ticks: Whether the level axis has numbers; without, there is room for none.
        most_y_ticks: Numbers on the upright axis, at most.
    """
    frame = _Frame(x, y, height, bottom=_BOTTOM if has_x_ticks else _BARE)
    parts = [frame.axes(with_x_ticks=has_x_ticks, most_y_ticks=most_y_ticks)]
    if is_diagonal_shown:
        parts.append(_line(frame.x(x.low), frame.y(y.low), frame.x(x.high), frame.y(y.high), "guide"))
    if marked_x is not None:
        parts.append(_line(frame.x(marked_x), frame.y(y.low), frame.x(marked_x), frame.y(y.high), "guide"))
    for line in reversed(lines):
        points = [(frame.x(px), frame.y(py)) for px, py in line.points]
        if line.is_joined:
            parts.append(
                Markup('<path class="line {}" d="{}"><title>{}</title></path>').format(
                    line.style, _path(points, is_stepped=line.is_stepped), line.name
                )
            )
        for (px, py), reach in zip(line.points, line.spread, strict=False):
            at, low, high = frame.x(px), frame.y(py - reach), frame.y(py + reach)
            parts.append(_line(at, low, at, high, f"whisker {line.style}"))
        if line.has_dots:
            for (px, py), (cx, cy) in zip(line.points, points, strict=True):
                parts.append(
                    Markup(
                        '<circle class="dot {}" cx="{}" cy="{}" r="3.5"><title>{}: {}, {}</title></circle>'
                    ).format(line.style, _n(cx), _n(cy), line.name, format_number(px), format_number(py))
                )
    return _picture(title, description, height, parts)


def draw_points(
    title: str,
    description: str,
    series: Sequence[tuple[str, str, Sequence[tuple[float, float]]]],
    *,
    x: Axis,
    y: Axis,
    height: float = 260,
) -> Markup:
    """Draw points over two axes.

    Args:
        title: What the picture is.
        description: What it shows, for those who do not see it.
        series: Name, class of the colour and points of each.
        x: The level axis.
        y: The upright axis.
        height: Of the picture, in its units.
    """
    frame = _Frame(x, y, height)
    parts = [frame.axes()]
    for name, style, points in series:
        # One path for all: a circle each would make a page of megabytes.
        marks = "".join(f"M{_n(frame.x(px))} {_n(frame.y(py))}h0" for px, py in points)
        parts.append(
            Markup('<path class="points {}" d="{}"><title>{}</title></path>').format(style, marks, name)
        )
    return _picture(title, description, height, parts)


def draw_bars(
    title: str,
    description: str,
    stacks: Sequence[tuple[str, str, Sequence[float]]],
    *,
    names: Sequence[str],
    x: Axis | None = None,
    height: float = 150,
    y_label: str = "",
) -> Markup:
    """Draw bars side by side, each a stack.

    Args:
        title: What the picture is.
        description: What it shows, for those who do not see it.
        stacks: Name, class of the colour and a number for each bar, from the bottom up.
        names: What each bar stands for.
        x: The axis that the bars fill; where it is not given, each bar is named below.
        height: Of the picture, in its units.
        y_label: What the bars count.
    """
    totals = [sum(column) for column in zip(*(numbers for _, _, numbers in stacks), strict=True)]
    count = max(1, len(totals))
    y = Axis(0, max([*totals, 1e-12]) * 1.04, y_label)
    frame = _Frame(x or Axis(0, count), y, height)
    parts = [frame.axes(with_x_ticks=x is not None, most_y_ticks=3)]
    width = frame.width / count
    gap = min(2.0, width * 0.12)
    for i, name in enumerate(names):
        left = frame.left + i * width
        base = 0.0
        for series, style, numbers in stacks:
            if numbers[i] > 0:
                top, bottom = frame.y(base + numbers[i]), frame.y(base)
                parts.append(
                    Markup(
                        '<rect class="bar {}" x="{}" y="{}" width="{}" height="{}">'
                        "<title>{}, {}: {}</title></rect>"
                    ).format(
                        style,
                        _n(left + gap / 2),
                        _n(top),
                        _n(width - gap),
                        _n(bottom - top),
                        name,
                        series,
                        format_number(numbers[i]),
                    )
                )
            base += numbers[i]
        if x is None:
            # About six units a letter: what does not fit is in the table below.
            shown = name if len(name) * 6 < width else f"{name[: max(1, int(width / 6) - 1)]}…"
            parts.append(_text(left + width / 2, height - 18, shown, "tick middle"))
    return _picture(title, description, height, parts)


def draw_intervals(
    title: str,
    description: str,
    rows: Sequence[IntervalRow],
    *,
    axis: Axis,
    marked: float | None = None,
) -> Markup:
    """Draw values with their intervals, a row each, as a forest plot.

    Args:
        title: What the picture is.
        description: What it shows, for those who do not see it.
        rows: The values.
        axis: The level axis.
        marked: Where an upright line stands, such as at no difference.
    """
    row_height, left, right, top = 26.0, 74.0, WIDTH - 134.0, 6.0
    bottom = top + row_height * len(rows)
    parts = [
        part
        for tick in axis.ticks(4)
        for part in (
            _line(axis.place(tick, left, right), top, axis.place(tick, left, right), bottom, "grid"),
            _text(axis.place(tick, left, right), bottom + 14, format_number(tick), "tick middle"),
        )
    ]
    if marked is not None and axis.low <= marked <= axis.high:
        at = axis.place(marked, left, right)
        parts.append(_line(at, top, at, bottom, "guide"))
    for i, row in enumerate(rows):
        y = top + row_height * (i + 0.5)
        start, at, end = (axis.place(value, left, right) for value in (row.low, row.value, row.high))
        parts += [
            _text(left - 10, y + 4, row.name, "label end"),
            _line(start, y, end, y, f"whisker {row.style}"),
            _line(start, y - 4, start, y + 4, f"whisker {row.style}"),
            _line(end, y - 4, end, y + 4, f"whisker {row.style}"),
            Markup('<circle class="dot {}" cx="{}" cy="{}" r="5"/>').format(row.style, _n(at), _n(y)),
            _text(WIDTH - 2, y + 4, _figures(row), "figure end"),
        ]
    return _picture(title, description, bottom + 20, parts)


def draw_shares(title: str, description: str, parts_of_whole: Sequence[tuple[str, str, float]]) -> Markup:
    """Draw a whole as one level bar of its parts.

    Args:
        title: What the picture is.
        description: What it shows, for those who do not see it.
        parts_of_whole: Name, class of the colour and size of each.
    """
    width, height = 1000.0, 34.0
    total = sum(size for _, _, size in parts_of_whole) or 1.0
    parts, left = [], 0.0
    for name, style, size in parts_of_whole:
        if size:
            # So that even one row of a million is seen.
            share = max(4.0, width * size / total)
            parts.append(
                Markup(
                    '<rect class="bar {}" x="{}" y="0" width="{}" height="{}"><title>{}: {}</title></rect>'
                ).format(style, _n(left), _n(max(2.0, share - 2)), _n(height), name, format_number(size))
            )
            left += share
    return _picture(title, description, height, parts, width=max(width, left), style="shares", fit="none")


def draw_arcs(count: int, edges: Iterable[tuple[int, int]], styles: Sequence[str], row: float) -> Markup:
    """Draw a graph beside a list: a dot a row, and a line from each to those that come after it.

    Args:
        count: How many rows there are.
        edges: From which row to which, downwards.
        styles: The class of each dot.
        row: Height of a row, in rem.
    """
    unit = 16.0
    height, spine = count * row * unit, 30.0
    ys = [(i + 0.5) * row * unit for i in range(count)]
    parts = []
    for start, end in edges:
        if end == start + 1:
            parts.append(_line(spine, ys[start], spine, ys[end], "edge"))
        else:
            # Further out the further it goes, and never over the border.
            bend = spine - min(27.0, 8.0 + 3.0 * (end - start))
            parts.append(
                Markup('<path class="edge" d="M{x} {y1}C{b} {y1} {b} {y2} {x} {y2}"/>').format(
                    x=_n(spine), y1=_n(ys[start]), y2=_n(ys[end]), b=_n(bend - (spine - bend) / 3)
                )
            )
    parts += [
        Markup('<circle class="node {}" cx="{}" cy="{}" r="7"/>').format(style, _n(spine), _n(y))
        for style, y in zip(styles, ys, strict=True)
    ]
    return Markup(
        '<svg class="arcs" viewBox="0 0 40 {h}" style="height:{rem}rem" aria-hidden="true">{parts}</svg>'
    ).format(h=_n(height), rem=_n(count * row), parts=Markup("").join(parts))


class _Frame:
    """The rectangle that two axes span."""

    def __init__(self, x: Axis, y: Axis, height: float, bottom: float = _BOTTOM) -> None:
        self._x, self._y = x, y
        self.left, self._right = _LEFT, WIDTH - _RIGHT
        self._top, self._bottom = _TOP if y.label else _BARE, height - bottom
        self.width = self._right - self.left

    def x(self, value: float) -> float:
        return self._x.place(value, self.left, self._right)

    def y(self, value: float) -> float:
        return self._y.place(value, self._bottom, self._top)

    def axes(self, *, with_x_ticks: bool = True, most_y_ticks: int = 5) -> Markup:
        parts = [_line(self.left, self._bottom, self._right, self._bottom, "axis")]
        for tick in self._y.ticks(most_y_ticks):
            y = self.y(tick)
            parts.append(_line(self.left, y, self._right, y, "grid"))
            parts.append(_text(self.left - 6, y + 4, format_number(tick), "tick end"))
        for tick in self._x.ticks() if with_x_ticks else []:
            parts.append(_text(self.x(tick), self._bottom + 15, format_number(tick), "tick middle"))
        if self._x.label:
            middle = (self.left + self._right) / 2
            parts.append(_text(middle, self._bottom + 30, self._x.label, "axis-label middle"))
        if self._y.label:
            parts.append(_text(self.left, self._top - 11, self._y.label, "axis-label"))
        return Markup("").join(parts)


def _path(points: Sequence[tuple[float, float]], *, is_stepped: bool) -> str:
    if not points:
        return ""
    words = [f"M{_n(points[0][0])} {_n(points[0][1])}"]
    for (_, _), (x, y) in pairwise(points):
        words.append(f"H{_n(x)}V{_n(y)}" if is_stepped else f"L{_n(x)} {_n(y)}")
    return "".join(words)


def _picture(
    title: str,
    description: str,
    height: float,
    parts: Iterable[Markup],
    *,
    width: float = WIDTH,
    style: str = "chart",
    fit: str = "xMidYMid",
) -> Markup:
    return Markup(
        '<svg class="{style}" viewBox="0 0 {width} {height}" preserveAspectRatio="{fit}" '
        'role="img" aria-label="{label}">'
        "<title>{title}</title><desc>{description}</desc>{parts}</svg>"
    ).format(
        style=style,
        fit=fit,
        width=_n(width),
        height=_n(height),
        label=f"{title}. {description}",
        title=title,
        description=description,
        parts=Markup("").join(parts),
    )


def _figures(row: IntervalRow) -> str:
    return f"{row.value:.3f} [{row.low:.3f}, {row.high:.3f}]".replace("-", "\N{MINUS SIGN}")


def _line(x1: float, y1: float, x2: float, y2: float, style: str) -> Markup:
    return Markup('<line class="{}" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(
        style, _n(x1), _n(y1), _n(x2), _n(y2)
    )


def _text(x: float, y: float, text: str, style: str) -> Markup:
    return Markup('<text class="{}" x="{}" y="{}">{}</text>').format(style, _n(x), _n(y), text)


def _n(value: float) -> str:
    """Write a coordinate; a tenth of a pixel is seen by nobody."""
    return f"{value:.1f}".removesuffix(".0")
