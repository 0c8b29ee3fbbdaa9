"""A picture with its numbers."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup


@dataclass(frozen=True)
class Figure:
    """A picture, and the table that says the same.

    Attributes:
        title: What it is.
        picture: The SVG.
        note: What to know when looking at it.
        head: The table's column headings.
        body: Its rows; the first cell of each names the row.
    """

    title: str
    picture: Markup
    note: str = ""
    head: tuple[str, ...] = ()
    body: tuple[tuple[str, ...], ...] = ()
