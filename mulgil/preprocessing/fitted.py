"""The fitted transform: everything that preprocessing learned from the training rows."""

from __future__ import annotations

from collections.abc import Collection

from pydantic import Field

from mulgil.artifacts import Record
from mulgil.contract.dictionary import ImageForm
from mulgil.contract.moments import fingerprint_zone

# A missing category in the SavedModel's string input, which has no null. `missing: new_category` fills with
# it and lists it among the codes, so that the missing get a place of their own in the one-hot vector.
MISSING_CODE = ""


class FittedColumn(Record):
    """How one raw column becomes numbers.

    A missing value (a number: `None` or NaN, a code: `None` or `MISSING_CODE`) is replaced by `fill` first.
    Then a numeric column gives one number: the value, brought between `low` and `high` where there are such,
    as `(value - offset) * scale` in float32. A categorical one gives a one-hot vector over `codes`, which is
    all zeros for a code that is not among them. A missing value without a `fill` was to be refused before: a
    number stays NaN, a code gives all zeros. An image gives its pixels, row by row, each from 0 to 255 and
    then like a number.

    A column that is not selected gives nothing: it may still be read by a derived one.

    A derived column's value is first computed from other columns of the transform, as they came.

    Attributes:
        name: The column.
        is_categorical: One-hot, or else one number.
        fill: What replaces a missing value; `None` where a missing value is refused.
        low: Of a numeric column whose outliers are clipped: the least that is not.
        high: And the greatest.
        offset: Of a numeric column, in its own unit.
        scale: Of a numeric column, in the inverse of its unit.
        codes: Of a categorical column, in the order of the vector: those that the training rows have, since
            nothing can be learned of the others.
        image: What an image is brought to; `None` for any other column.
        derived: The expression that gives it; `None` where it is an input.
        is_selected: Whether the model reads it.
    """

    name: str
    is_categorical: bool
    fill: float | str | None
    low: float | None = None
    high: float | None = None
    offset: float = 0.0
    scale: float = 1.0
    codes: tuple[str, ...] = ()
    image: ImageForm | None = None
    derived: str | None = None
    is_selected: bool = True

    @property
    def width(self) -> int:
        """How many numbers the column gives."""
        if not self.is_selected:
            return 0
        if self.image is not None:
            return self.image.size
        return len(self.codes) if self.is_categorical else 1


class FittedTransform(Record):
    """The columns in the model's order; their vectors are joined end to end.

    Attributes:
        columns: In dictionary order.
        moments: Dates and times that derived columns read, and the model by itself does not.
        zones: The clocks that derived columns read, by their zone's name: fingerprints of what they showed.
        zone_database: The version of the package `tzdata` that they were of; `None` where none was read.
    """

    columns: tuple[FittedColumn, ...]
    moments: tuple[str, ...] = ()
    zones: dict[str, str] = Field(default_factory=dict)
    zone_database: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that must be given: all that are not computed from others."""
        return *(column.name for column in self.inputs), *self.moments

    @property
    def inputs(self) -> tuple[FittedColumn, ...]:
        """The columns that are not computed from others."""
        return tuple(column for column in self.columns if column.derived is None)

    @property
    def width(self) -> int:
        """Length of the model's numeric input."""
        return sum(column.width for column in self.columns)

    @property
    def changed_zones(self) -> tuple[str, ...]:
        """The zones whose clocks show something else here than where the transform was fitted."""
        return tuple(name for name, found in self.zones.items() if _fingerprint_here(name) != found)

    def restricted_to(self, names: Collection[str]) -> FittedTransform:
        """Return the transform that gives these columns alone; it still takes every input."""
        columns = tuple(
            column.model_copy(update={"is_selected": column.name in names}) for column in self.columns
        )
        return self.model_copy(update={"columns": columns})


def _fingerprint_here(zone: str) -> str | None:
    try:
        return fingerprint_zone(zone)
    except ValueError:
        # A database may drop a name, or not have it yet.
        return None
