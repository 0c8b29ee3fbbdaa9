"""Exact counts of the rows that break a column's declaration, in plain words.

TFDV's own words are vague, and its answer is not exact: of more than 1,024 codes it keeps a sketch, and it
holds a float's bounds in float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mulgil.contract import Column, ColumnType, MissingPolicy
from mulgil.contract.values import describe_range

# As many values as a reader takes in at a glance; chosen by eye.
_VALUES_SHOWN = 8


@dataclass(frozen=True)
class Violation:
    """Rows that break a declaration in one way.

    Attributes:
        expected: What the dictionary allows.
        received: What came instead, with counts.
        rows: How many rows.
    """

    expected: str
    received: str
    rows: int


def describe_declaration(column: Column) -> str:
    """Write what a column's values must be, such as `one of '1', '2' in every row`."""
    presence = "in every row" if column.missing is MissingPolicy.REJECT else "where there is a value"
    return f"{_describe_domain(column)}, {presence}"


def find_violations(column: Column, splits: Mapping[str, pa.ChunkedArray]) -> list[Violation]:
    """Count the missing values and the values outside the domain.

    Args:
        column: The declaration.
        splits: The column's values, of its own type, by split.
    """
    violations = []
    missing = {split: values.null_count for split, values in splits.items()}
    if column.missing is MissingPolicy.REJECT and any(missing.values()):
        violations.append(
            _violation("a value in every row", f"none in {_rows(sum(missing.values()))}", missing)
        )
    outside = {split: _outside(column, values) for split, values in splits.items()}
    rows = {split: len(values) for split, values in outside.items()}
    if any(rows.values()):
        values = pa.chunked_array(list(outside.values()))
        received = f"(hidden) in {_rows(len(values))}" if column.sensitive else _count(values)
        violations.append(_violation(_describe_domain(column), received, rows))
    return violations


def _outside(column: Column, values: pa.ChunkedArray) -> pa.Array:
    values = values.drop_null().combine_chunks()
    if column.type is ColumnType.CATEGORY:
        codes = pa.array(list(column.categories or ()), values.type)
        return values.filter(pc.invert(pc.is_in(values, value_set=codes)))
    if not column.type.is_numeric:
        return values[:0]
    numbers = values.to_numpy(zero_copy_only=False)
    low, high = column.range or (None, None)
    is_outside = ~np.isfinite(numbers)
    if low is not None:
        is_outside |= numbers < low
    if high is not None:
        is_outside |= numbers > high
    return values.filter(pa.array(is_outside))


def _describe_domain(column: Column) -> str:
    if column.categories is not None:
        return "one of " + _list([repr(code) for code in column.categories])
    if column.range is not None and column.range != (None, None):
        return describe_range(column)
    if column.type is ColumnType.IMAGE:
        return "an image"
    return "a finite number" if column.type.is_numeric else f"a {column.type}"


def _count(values: pa.ChunkedArray) -> str:
    counts = [(entry["values"], entry["counts"]) for entry in pc.value_counts(values).to_pylist()]
    counts.sort(key=lambda entry: (-entry[1], str(entry[0])))
    return _list([f"{value!r} in {_rows(count)}" for value, count in counts])


def _list(items: list[str]) -> str:
    left = len(items) - _VALUES_SHOWN
    return ", ".join(items[:_VALUES_SHOWN]) + (f" and {left} more" if left > 0 else "")


def _violation(expected: str, received: str, rows: dict[str, int]) -> Violation:
    by_split = ", ".join(f"{split} {count}" for split, count in rows.items() if count)
    return Violation(expected, f"{received} ({by_split})", sum(rows.values()))


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"
