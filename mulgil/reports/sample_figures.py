"""Some of a table's rows as people see them: images by class, texts, and where on a map they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mulgil.drafting.profile import ColumnProfile, Kind
from mulgil.exploration.columns import Explored, words_of
from mulgil.exploration.places import find_places
from mulgil.reports.charts import axis_around, draw_points
from mulgil.reports.figures import Figure
from mulgil.reports.image_figures import ImageGrid, arrange_images
from mulgil.reports.page import format_number

# More of them are read by nobody, and shorter ones are words. Chosen by eye.
_SAMPLES = 3
_LONGEST_SAMPLE = 300
_LEAST_LENGTH = 20
_POINTS = 2_000

_STYLES = ("c-model", "c-reference", "c-champion", "c-yes", "c-test", "c-train")


@dataclass(frozen=True)
class Samples:
    """What can be shown of some rows.

    Attributes:
        target: The column by whose classes they are shown.
        grids: Images, of each column that has such.
        map: The rows by latitude and longitude, where there are such.
        legend: The classes on it, each with its style; nothing where it has none.
        texts: Some of each column of texts, by its name.
    """

    target: str
    grids: tuple[ImageGrid, ...]
    map: Figure | None
    legend: tuple[tuple[str, str], ...]
    texts: dict[str, tuple[str, ...]]

    @property
    def is_any(self) -> bool:
        """Whether there is anything to see."""
        return bool(self.grids or self.map or self.texts)


def draw_samples(explored: Explored) -> Samples:
    """Show some rows; of columns that are hidden nothing."""
    texts = {
        profile.name: sample_texts(profile)
        for profile in explored.others
        if profile.name not in explored.hidden
    }
    return Samples(
        explored.target.name,
        arrange_images(explored),
        _draw_map(explored),
        tuple((word, style) for word, style, _ in _by_class(explored)) if _is_by_class(explored) else (),
        {name: some for name, some in texts.items() if some},
    )


def sample_texts(profile: ColumnProfile) -> tuple[str, ...]:
    """Return texts from the longest to the shortest of the commonest ones; nothing of mere words."""
    if profile.kind is not Kind.TEXT or profile.mean_length < _LEAST_LENGTH:
        return ()
    words = sorted((word for word, _ in profile.values), key=len)
    places = np.linspace(len(words) - 1, 0, _SAMPLES).astype(int)
    return tuple(dict.fromkeys(words[place][:_LONGEST_SAMPLE] for place in places))


def _is_by_class(explored: Explored) -> bool:
    return not explored.is_a_number and explored.target.name not in explored.hidden


def _by_class(explored: Explored) -> list[tuple[str, str, int]]:
    """Return the commonest classes, each with its style and its code."""
    words = words_of(explored.target)
    return [(words[code], style, code) for style, code in zip(_STYLES, words, strict=False)]


def _draw_map(explored: Explored) -> Figure | None:
    """Draw the rows by latitude and longitude, in the target's colours where it is a class."""
    places = find_places(explored)
    if places is None:
        return None
    by_name = {profile.name: profile for profile in explored.profiles}
    latitude, longitude = (by_name[name].numbers for name in places)
    there = np.flatnonzero(np.isfinite(latitude) & np.isfinite(longitude))
    there = there[np.linspace(0, len(there) - 1, min(_POINTS, len(there))).astype(np.int64)]
    series = [("rows", "c-model", there)]
    if _is_by_class(explored):
        codes = explored.target.codes[there]
        series = [(word, style, there[codes == code]) for word, style, code in _by_class(explored)]
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
        title=f"{places[0]} and {places[1]}",
        picture=draw_points(
            "Map of the rows",
            f"{format_number(len(there))} rows, from {west:.3g} to {east:.3g} east and {south:.3g} to "
            f"{north:.3g} north.",
            points,
            x=axis_around([west, east], places[1]),
            y=axis_around([south, north], places[0]),
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
