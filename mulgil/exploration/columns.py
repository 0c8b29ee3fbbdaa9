"""A table's columns in the two forms that all questions are asked in: numbers, and codes of few values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mulgil.contract.learning import Task
from mulgil.drafting.profile import ColumnProfile, Kind

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

# Bins of a number: enough for a bend, few enough for rows in each. Chosen by eye.
BINS = 20

# More rows change no picture; they cost time. Chosen by eye.
MOST_ROWS = 100_000

# A class that has fewer rows shares its place with the other rare ones.
_MOST_CLASSES = 20


@dataclass(frozen=True)
class Explored:
    """A table that is looked at.

    Attributes:
        rows: Of the source.
        looked_at: Of them, evenly over the source.
        cells: Their values, by column.
        profiles: The columns, of the rows that are looked at.
        target: The one to predict.
        moment: The one that says when a row became true, if one does.
        entity: The one that says what a row is about, if one does.
        task: What is to be predicted.
        hidden: Columns whose values are not shown.
        newest_span: The newest of the source's spans, if it has several.
        is_newest: Of each row, whether it is of that span; `None` where that is not known.
    """

    rows: int
    looked_at: int
    cells: Mapping[str, pa.ChunkedArray]
    profiles: tuple[ColumnProfile, ...]
    target: ColumnProfile
    moment: ColumnProfile | None
    entity: ColumnProfile | None
    task: str
    hidden: frozenset[str] = frozenset()
    newest_span: str = ""
    is_newest: npt.NDArray[np.bool_] | None = None

    def row_of(self, place: int) -> int:
        """Return a row's position in the source, from 1."""
        return int(place * (self.rows - 1) / max(1, self.looked_at - 1)) + 1

    @property
    def is_a_number(self) -> bool:
        """Whether the target is a number."""
        return self.task == Task.SCALAR_REGRESSION

    @property
    def others(self) -> tuple[ColumnProfile, ...]:
        """Every column that is not the target, the time or the key."""
        keys = {profile.name for profile in (self.target, self.moment, self.entity) if profile is not None}
        return tuple(profile for profile in self.profiles if profile.name not in keys)


def thin_out(columns: dict[str, pa.ChunkedArray]) -> dict[str, pa.ChunkedArray]:
    """Return the columns with at most `MOST_ROWS` rows, evenly over the table."""
    rows = len(next(iter(columns.values())))
    if rows <= MOST_ROWS:
        return columns
    places = pa.array(np.linspace(0, rows - 1, MOST_ROWS).astype(np.int64))
    return {name: column.take(places) for name, column in columns.items()}


def is_number(profile: ColumnProfile) -> bool:
    """Whether a column has an order that says something."""
    return profile.kind in (Kind.NUMBER, Kind.WHOLE, Kind.TRUTH) and len(profile.numbers) > 0


def bin_column(profile: ColumnProfile) -> Codes:
    """Return which of a few values, or ranges of numbers, each row has; -1 where it has none."""
    if is_number(profile) and profile.distinct > BINS:
        present = profile.finite
        edges = np.unique(np.quantile(present, np.arange(1, BINS) / BINS))
        places = np.searchsorted(edges, profile.numbers, side="right").astype(np.int64)
        return np.where(np.isnan(profile.numbers), -1, places)
    return profile.codes


def words_of(profile: ColumnProfile) -> dict[int, str]:
    """Return the commonest values as text, by the code that rows have."""
    counts = np.bincount(profile.codes[profile.codes >= 0])
    order = np.argsort(-counts, kind="stable").tolist()
    return {code: word for code, (word, _) in zip(order, profile.values, strict=False)}


def one_hot_target(explored: Explored) -> Floats:
    """Return the target as numbers: itself, or a column for each class.

    Shapes:
        (rows, numbers); NaN in rows without a target.
    """
    target = explored.target
    if explored.is_a_number:
        numbers: Floats = target.numbers[:, None]
        return numbers
    codes = target.codes
    counts = np.bincount(codes[codes >= 0])
    kept = np.argsort(-counts, kind="stable")[:_MOST_CLASSES]
    hot: Floats = (codes[:, None] == kept[None, :]).astype(np.float64)
    hot[codes < 0] = np.nan
    return hot


def matrix(profiles: Sequence[ColumnProfile]) -> Floats:
    """Return columns as numbers, codes by how common they are; NaN is missing.

    Shapes:
        (rows, columns).
    """
    return np.stack([_as_numbers(profile) for profile in profiles], axis=1)


def _as_numbers(profile: ColumnProfile) -> Floats:
    if is_number(profile):
        return profile.numbers
    counts = np.append(np.bincount(profile.codes[profile.codes >= 0], minlength=1), 0)
    order = np.empty(len(counts))
    order[np.argsort(-counts, kind="stable")] = np.arange(len(counts))
    return np.where(profile.codes >= 0, order[profile.codes], np.nan)
