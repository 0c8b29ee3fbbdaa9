"""The contract at the door: raw values of a request, held against the bundle's data dictionary."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from mulgil.contract.dictionary import Column, ColumnType, DataDictionary
from mulgil.contract.values import (
    Value,
    ValueMismatchError,
    check_domain,
    describe_range,
    read_json,
)
from mulgil.preprocessing.executor import Values

# Enough to mend a request by, and a bound on what a hostile one costs. Chosen by eye.
MOST_VIOLATIONS = 10

# What the model computes in: https://numpy.org/doc/2.2/reference/generated/numpy.finfo.html
GREATEST_FLOAT32 = 3.4028234663852886e38


@dataclass(frozen=True)
class Violation:
    """One value that the dictionary does not allow.

    Attributes:
        instance: Place of the row in the request, from 0.
        column: The column's name.
        expected: What the dictionary allows.
        received: What came; `(hidden)` where the column is sensitive.
    """

    instance: int
    column: str
    expected: str
    received: str

    def __str__(self) -> str:
        where = f"instance {self.instance}, column {self.column}"
        return f"{where}: expected {self.expected}, received {self.received}"


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
        self._columns = dictionary.features
        self.names = tuple(column.name for column in self._columns)

    def check(self, columns: Mapping[str, Sequence[object]], rows: int) -> dict[str, Values]:
        """Turn raw values into the values that preprocessing takes.

        Args:
            columns: Raw values by column, each `rows` long. A column that is absent is missing in every row.
            rows: Number of instances.

        Returns:
            Every feature's values, in dictionary order; `None` is missing and will be filled.

        Raises:
            ContractViolationError: A column is unknown, or values are not of their column's type or
                domain, or are missing where the dictionary needs one.
        """
        refuse_unknown(columns, self.names, instance=0)
        violations: list[Violation] = []
        checked = {}
        for column in self._columns:
            raw = columns.get(column.name) or [None] * rows
            checked[column.name] = _check_column(column, raw, violations)
        if violations:
            raise ContractViolationError(violations)
        return checked


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


def _check_column(column: Column, raw: Sequence[object], violations: list[Violation]) -> Values:
    values: list[Value] = []
    for instance, received in enumerate(raw):
        try:
            value = _check_value(column, received)
        except ValueMismatchError as exc:
            violations.append(Violation(instance, exc.column, exc.expected, exc.received))
        else:
            values.append(value)
            if value is None and column.missing.is_value_required:
                violations.append(Violation(instance, column.name, _describe(column), "nothing"))
        if len(violations) >= MOST_VIOLATIONS:
            raise ContractViolationError(violations)
    # A feature is never a timestamp, so that these are the executor's types.
    return cast("Values", values)


def _check_value(column: Column, received: object) -> Value:
    value = read_json(column, received)
    if value is None:
        return None
    check_domain(column, value)
    if column.type is ColumnType.FLOAT and not -GREATEST_FLOAT32 <= cast("float", value) <= GREATEST_FLOAT32:
        raise ValueMismatchError(column, "a number that float32 holds", received)
    return value


def _describe(column: Column) -> str:
    """Say what a value of the column is, such as `a value (integer, 60 to 260 mmHg)`."""
    if column.categories:
        return "one of " + ", ".join(column.categories)
    return f"a value ({column.type}{', ' + describe_range(column) if column.range else ''})"
