"""The plot: for each canary, the share of rollouts that is over once it has served so many requests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from mulgil.reports.charts import WIDTH, Axis, Line, draw_lines

_COLOURS = {
    "mulgil": "#0b6e99",
    "Flagger, documented": "#c0392b",
    "Flagger, tuned": "#e08e79",
    "Argo, documented": "#7d5ba6",
    "Argo, tuned": "#b9a3d0",
}
_HEIGHT, _TITLE, _COLUMNS, _GAP = 230, 26, 3, 16
_STYLE = """
text { font: 11px system-ui, sans-serif; fill: #333 } .title { font-weight: 600; font-size: 13px }
.grid { stroke: #ddd } .axis { stroke: #777 } .guide { stroke: #333; stroke-dasharray: 4 3 }
.middle { text-anchor: middle } .end { text-anchor: end } .line { fill: none; stroke-width: 2 }
"""


def draw_plot(rows: Sequence[dict[str, Any]]) -> str:
    """Draw one panel a canary, as one SVG that stands alone."""
    styles = {name: f"rule-{i}" for i, name in enumerate(_COLOURS)}
    panels = [_panel(row, styles) for row in rows]
    width = _COLUMNS * (WIDTH + _GAP)
    height = -(-len(panels) // _COLUMNS) * (_HEIGHT + _TITLE + _GAP) + 40
    parts = []
    for i, (row, panel) in enumerate(zip(rows, panels, strict=True)):
        x, y = (i % _COLUMNS) * (WIDTH + _GAP), (i // _COLUMNS) * (_HEIGHT + _TITLE + _GAP) + 40
        kind = "harmful" if "fixed" in row else "good"
        parts.append(
            Markup('<text class="title" x="{}" y="{}">{}: {}</text>').format(x + 8, y + 16, kind, row["cell"])
        )
        place = f'<svg x="{x:g}" y="{y + _TITLE:g}" width="{WIDTH:g}" height="{_HEIGHT}"'
        parts.append(Markup(str(panel).replace("<svg", place, 1)))
    legend = [
        Markup(
            '<rect x="{x}" y="12" width="16" height="4" fill="{c}"/><text x="{t}" y="18">{n}</text>'
        ).format(x=8 + i * 170, t=30 + i * 170, c=colour, n=name)
        for i, (name, colour) in enumerate(_COLOURS.items())
    ]
    legend.append(
        Markup('<text x="{}" y="18">dashed: the fixed test looks</text>').format(8 + len(_COLOURS) * 170)
    )
    colours = "".join(f".{styles[name]} {{ stroke: {colour} }}" for name, colour in _COLOURS.items())
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height}">'
        f'<style>{_STYLE}{colours}</style><rect width="100%" height="100%" fill="#fff"/>'
        f"{Markup('').join([*legend, *parts])}</svg>\n"
    )


def _panel(row: dict[str, Any], styles: dict[str, str]) -> Markup:
    lines = []
    for name, figures in row["rules"].items():
        ended = np.sort(np.array(figures["exposed"])[np.array(figures["is_rolled_back"], bool)])
        total = len(figures["exposed"])
        points = [(0.0, 0.0)]
        points += [(float(np.log10(max(n, 1))), (i + 1) / total) for i, n in enumerate(ended) if i % 10 == 9]
        points.append((5.0, len(ended) / total))
        lines.append(Line(name, styles[name], points, is_stepped=True))
    fixed = float(np.log10(row["fixed"]["requests"])) if "fixed" in row else None
    return draw_lines(
        row["cell"],
        "Share of rollouts rolled back, over the logarithm of the requests that the canary had served.",
        lines,
        x=Axis(1, 5, "requests served by the canary, power of ten"),
        y=Axis(0, 1.0, "share of rollouts rolled back"),
        height=_HEIGHT,
        marked_x=fixed,
    )
