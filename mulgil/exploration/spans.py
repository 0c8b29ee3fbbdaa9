"""Whether a source's newest span is like those before, column by column."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mulgil.divergence import (
    CONFIDENCE,
    Bounds,
    divide_with_missing,
    greatest_by_chance,
    measure_divergence,
    name_cell,
)
from mulgil.drafting.profile import ColumnProfile, Kind
from mulgil.exploration.columns import Explored, is_number, words_of


@dataclass(frozen=True)
class SpanDifference:
    """A column whose values in the newest span are others than before, by more than chance.

    Attributes:
        name: The column.
        where: The values whose share changed most, in words.
        before: Their share of the rows before.
        newest: Their share of the newest span's rows.
    """

    name: str
    where: str
    before: float
    newest: float


@dataclass(frozen=True)
class SpanFindings:
    """The newest span beside those before.

    Attributes:
        name: The span.
        rows: Of it that are looked at.
        compared: How many columns were compared.
        differences: Those in which it differs, the one that differs most first.
    """

    name: str
    rows: int
    compared: int
    differences: tuple[SpanDifference, ...]


def compare_newest_span(explored: Explored, columns: Sequence[ColumnProfile]) -> SpanFindings | None:
    """Compare the newest span's rows with those before; `None` where there are none of either.

    Args:
        explored: The table.
        columns: Those whose values can be compared: no keys and no free text.
    """
    is_newest = explored.is_newest
    if is_newest is None or not explored.newest_span or is_newest.all() or not is_newest.any():
        return None
    compared = [profile for profile in columns if profile.kind is not Kind.TIME]
    found: list[tuple[float, SpanDifference]] = []
    for profile in compared:
        is_ordered = _is_ordered(profile)
        values = profile.numbers if is_ordered else np.where(profile.codes < 0, np.nan, profile.codes)
        cells = divide_with_missing(values[~is_newest], values[is_newest], is_ordered=is_ordered)
        if cells is None:
            continue
        rows = int(is_newest.sum())
        # Each of so many columns must be further away than all of them by chance.
        confidence = 1 - (1 - CONFIDENCE) / len(compared)
        chance = greatest_by_chance(len(cells.p), len(values) - rows, rows, confidence)
        divergence = measure_divergence(cells.p, cells.q)
        if divergence > chance:
            bounds, before, newest = cells.greatest_change
            where = _name(profile, bounds, is_hidden=profile.name in explored.hidden)
            found.append((divergence, SpanDifference(profile.name, where, before, newest)))
    ordered = sorted(found, key=lambda one: -one[0])
    return SpanFindings(
        explored.newest_span, int(is_newest.sum()), len(compared), tuple(one for _, one in ordered)
    )


def _is_ordered(profile: ColumnProfile) -> bool:
    return is_number(profile) and profile.kind is not Kind.TRUTH


def _name(profile: ColumnProfile, bounds: Bounds, *, is_hidden: bool) -> str:
    if math.isnan(bounds[0]):
        return name_cell(bounds)
    if is_hidden:
        return "a value"
    if _is_ordered(profile):
        return name_cell(bounds)
    return words_of(profile).get(int(bounds[0]), "a rare value")
