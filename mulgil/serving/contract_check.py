"""The contract at the door: raw values of a request, held against the bundle's data dictionary."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import cast

from mulgil.contract.aggregates import AggregateFunction
from mulgil.contract.dictionary import Column, ColumnType, DataDictionary, OutOfRangePolicy
from mulgil.contract.expressions import GREATEST_FLOAT32
from mulgil.contract.values import (
    Value,
    ValueMismatchError,
    check_domain,
    describe_range,
    read_json,
)
from mulgil.preprocessing.executor import Values
from mulgil.serving.derivation import Derivation

# Enough to mend a request by, and a bound on what a hostile one costs. Chosen by eye.
MOST_VIOLATIONS = 10


class Outcome(StrEnum):
    """What became of a value that the dictionary does not allow."""

    REFUSED = "refused"
    CLIPPED = "clipped"
    PASSED = "passed"


@dataclass(frozen=True)
class Violation:
    """One value that the dictionary does not allow.

    Attributes:
        instance: Place of the row in the request, from 0.
        column: The column's name.
        expected: What the dictionary allows.
        received: What came; `(hidden)` where the column is sensitive.
        outcome: What became of it.
    """

    instance: int
    column: str
    expected: str
    received: str
    outcome: Outcome = Outcome.REFUSED

    def __str__(self) -> str:
        where = f"instance {self.instance}, column {self.column}"
        return f"{where}: expected {self.expected}, received {self.received}"


def write_warnings(warnings: Sequence[Violation]) -> str:
    """Write what was not refused as one line of ASCII, which a header holds."""
    shown = [f"{warning}, {warning.outcome}" for warning in warnings[:MOST_VIOLATIONS]]
    if len(warnings) > MOST_VIOLATIONS:
        shown.append(f"and {len(warnings) - MOST_VIOLATIONS} more")
    return "; ".join(shown).encode("ascii", "backslashreplace").decode().replace("\n", " ").replace("\r", " ")


class ContractViolationError(Exception):
    """A request breaks the contract.

    Attributes:
        violations: Up to `MOST_VIOLATIONS` of them.
    """

    def __init__(self, violations: Sequence[Violation]) -> None:
        super().__init__("; ".join(map(str, violations)))
        self.violations = tuple(violations)


class ContractCheck:
    """Reads the feature columns of requests.

    Args:
        dictionary: The bundle's own.
    """

    def __init__(self, dictionary: DataDictionary) -> None:
        self._columns = dictionary.inputs
        self._must_derive = [
            Derivation(column, dictionary.inputs)
            for column in dictionary.features
            if column.is_derived_feature and column.missing.is_value_required
        ]
        self.names = tuple(column.name for column in self._columns)

    def check(
        self, columns: Mapping[str, Sequence[object]], rows: int, warnings: list[Violation] | None = None
    ) -> dict[str, Values]:
        """Turn raw values into the values that preprocessing takes.

        Args:
            columns: Raw values by column, each `rows` long. A column that is absent is missing in every row.
            rows: Number of instances.
            warnings: Gets the values that are out of range and that the dictionary says to take nonetheless.

        Returns:
            Every input's values, in dictionary order; `None` is missing and will be filled.

        Raises:
            ContractViolationError: A column is unknown, or values are not of their column's type or
                domain, or are missing where the dictionary needs one, or give none that it needs.
        """
        refuse_unknown(columns, self.names, instance=0)
        violations: list[Violation] = []
        warnings = [] if warnings is None else warnings
        checked = {}
        for column in self._columns:
            raw = columns.get(column.name) or [None] * rows
            checked[column.name] = _check_column(column, raw, violations, warnings)
        if not violations and self._must_derive:
            violations = list(islice(self._find_underivable(checked, rows), MOST_VIOLATIONS))
        if violations:
            raise ContractViolationError(violations)
        return checked

    def _find_underivable(self, columns: Mapping[str, Values], rows: int) -> Iterator[Violation]:
        for derivation in self._must_derive:
            for row in range(rows):
                if derivation.of_columns(columns, row) is None:
                    expected = f"values of which {derivation.column.derived} can be computed"
                    yield Violation(row, derivation.column.name, expected, "none")


def refuse_unknown(names: Iterable[str], known: Sequence[str], instance: int) -> None:
    """Refuse columns that the model does not read.

    Raises:
        ContractViolationError: Naming them.
    """
    unknown = [name for name in names if name not in known][:MOST_VIOLATIONS]
    if unknown:
        expected = f"only the model's columns ({', '.join(known)})"
        raise ContractViolationError(
            [Violation(instance, name[:80], expected, "an unknown column") for name in unknown]
        )


def refuse_forgotten(names: Iterable[str], always: Collection[str], instance: int) -> None:
    """Refuse an instance without a number of the past, which would be filled as if there were no past.

    Args:
        names: The columns that it has.
        always: Those that it must have, if only as null.
        instance: Its place in the request.

    Raises:
        ContractViolationError: Naming them.
    """
    forgotten = sorted(set(always).difference(names))[:MOST_VIOLATIONS]
    if forgotten:
        expected = (
            "a number of the entity's past; where it has none null, and 0 of a count; by entity it is known"
        )
        raise ContractViolationError(
            [Violation(instance, name, expected, "no such column") for name in forgotten]
        )


def _check_column(
    column: Column, raw: Sequence[object], violations: list[Violation], warnings: list[Violation]
) -> Values:
    values: list[Value] = []
    for instance, received in enumerate(raw):
        try:
            value, is_outside = _check_value(column, received)
        except ValueMismatchError as exc:
            violations.append(Violation(instance, exc.column, exc.expected, exc.received))
        else:
            if is_outside:
                value, outcome = _take(column, cast("float", value))
                shown = "(hidden)" if column.sensitive else repr(received)[:80]
                warnings.append(Violation(instance, column.name, describe_range(column), shown, outcome))
            values.append(value)
            if value is None and column.missing.is_value_required:
                violations.append(Violation(instance, column.name, _describe(column), "nothing"))
        if len(violations) >= MOST_VIOLATIONS:
            raise ContractViolationError(violations)
    return cast("Values", values)


def _check_value(column: Column, received: object) -> tuple[Value, bool]:
    """Return a value, and whether it is out of a range whose policy takes it nonetheless."""
    value = read_json(column, received)
    if value is None:
        return None, False
    is_outside = False
    try:
        check_domain(column, value)
    except ValueMismatchError:
        if column.out_of_range is OutOfRangePolicy.REFUSE:
            raise
        is_outside = True
    if column.type is ColumnType.FLOAT and not -GREATEST_FLOAT32 <= cast("float", value) <= GREATEST_FLOAT32:
        raise ValueMismatchError(column, "a number that float32 holds", received)
    return value, is_outside


def _take(column: Column, value: float) -> tuple[float, Outcome]:
    """Return what an out-of-range value is predicted from."""
    if column.out_of_range is OutOfRangePolicy.PASS:
        return value, Outcome.PASSED
    low, high = column.range or (None, None)
    is_whole = column.type is ColumnType.INTEGER
    if low is not None and value < low:
        return (math.ceil(low) if is_whole else low), Outcome.CLIPPED
    assert high is not None
    return (math.floor(high) if is_whole else high), Outcome.CLIPPED


def _describe(column: Column) -> str:
    """Say what a value of the column is, such as `a value (integer, 60 to 260 mmHg)`."""
    if column.categories:
        return "one of " + ", ".join(column.categories)
    value = f"a value ({column.type}{', ' + describe_range(column) if column.range else ''})"
    is_count = column.aggregate is not None and column.aggregate.function is AggregateFunction.COUNT
    return f"{value}; a count is 0 where there is no past" if is_count else value
