"""From raw cells to values, row by row: what is read, what is set aside and why, what is a repetition."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from components.ingest_data.table import RawTable
from mulgil.contract.dictionary import Column, ColumnRole, DataDictionary, MissingPolicy
from mulgil.contract.expressions import Expression
from mulgil.contract.values import Value, ValueMismatchError, read_json

_KEYS = {ColumnRole.TARGET, ColumnRole.ENTITY, ColumnRole.EVENT_TIMESTAMP}

# A time without a zone is read as UTC, and a clock on the wall is up to 14 hours ahead of it.
_AHEAD = timedelta(days=1)


@dataclass(frozen=True)
class Mistake:
    """What is wrong with one cell of a row.

    Attributes:
        column: The column, by its name in the dictionary.
        expected: What the dictionary allows.
        received: What came, or `(hidden)` where the column is sensitive.
    """

    column: str
    expected: str
    received: str

    def __str__(self) -> str:
        return f"{self.column}: expected {self.expected}, received {self.received}"


@dataclass(frozen=True)
class QuarantinedRow:
    """A row that is set aside.

    Attributes:
        row_number: Its position in the source, from 1.
        mistakes: Everything that is wrong with it.
        cells: As the source has them, sensitive ones too: without them the row could not be repaired.
    """

    row_number: int
    mistakes: tuple[Mistake, ...]
    cells: dict[str, Any]


@dataclass(frozen=True)
class ReadRows:
    """A source's rows, read.

    Attributes:
        columns: Values of the dictionary's kept columns, in its order, for the rows that are right.
        quarantined: The rows that are wrong.
        repeated: How many rows repeat an earlier one.
    """

    columns: dict[str, list[Value]]
    quarantined: tuple[QuarantinedRow, ...]
    repeated: int


def read_rows(table: RawTable, dictionary: DataDictionary, now: datetime) -> ReadRows:
    """Read every row of a table whose columns are the dictionary's.

    A value outside its column's range or categories is kept: whether too many are is for validation to judge.

    Args:
        table: The source.
        dictionary: What its columns mean.
        now: No row can have become true later.
    """
    reader = _RowReader(table, dictionary, now)
    columns: dict[str, list[Value]] = {column.name: [] for column in dictionary.kept}
    quarantined = []
    seen: set[tuple[Hashable, ...]] = set()
    repeated = 0
    for number, row in enumerate(table.rows, start=1):
        values, mistakes = reader.read(number, row)
        if mistakes:
            quarantined.append(QuarantinedRow(number, tuple(mistakes), _name_cells(table.header, row)))
            continue
        identity = reader.identify(row, values)
        if identity in seen:
            repeated += 1
            continue
        seen.add(identity)
        for name, column in columns.items():
            column.append(values[name])
    return ReadRows(columns, tuple(quarantined), repeated)


class _RowReader:
    """Reads one row at a time; it remembers the cells that it has read, because a table repeats them."""

    def __init__(self, table: RawTable, dictionary: DataDictionary, now: datetime) -> None:
        self._event_timestamp = dictionary.event_timestamp
        self._latest = now + _AHEAD
        derived = [(column, column.expression) for column in dictionary.columns]
        self._derived = [(column, expression) for column, expression in derived if expression is not None]
        self._generated = [column for column in dictionary.columns if column.generated is not None]
        self._required = [
            column
            for column in dictionary.kept
            if column.role in _KEYS or column.missing is MissingPolicy.REJECT
        ]
        operands = {name for _, expression in self._derived for name in expression.columns}
        in_source = [
            (column, table.header.index(column.name_in_source))
            for column in dictionary.columns
            if column.is_in_source
        ]
        # What is ignored and no derived column needs may hold anything, and is only compared.
        self._read = [(c, at) for c, at in in_source if c.role is not ColumnRole.IGNORE or c.name in operands]
        self._unread = [at for c, at in in_source if c.role is ColumnRole.IGNORE and c.name not in operands]
        self._width = len(table.header)
        self._read_cell = table.read_cell
        # By column, then by cell and type: to a dict, 1 and True are one key.
        self._known: dict[str, dict[Hashable, Value | Mistake]] = {
            column.name: {} for column, _ in self._read
        }

    def read(self, number: int, row: Sequence[Any]) -> tuple[dict[str, Value], list[Mistake]]:
        """Return a row's values, and everything that is wrong with it; a value that is wrong is left out."""
        if len(row) != self._width:
            return {}, [Mistake("the row", f"{self._width} cells", str(len(row)))]
        outcomes = {column.name: self._outcome(column, row[place]) for column, place in self._read}
        for column, expression in self._derived:
            if not any(isinstance(outcomes[name], Mistake) for name in expression.columns):
                outcomes[column.name] = _derive(column, expression, outcomes)
        for column in self._generated:
            outcomes[column.name] = (
                number if column.generated == "row_number" else read_json(column, column.generated)
            )
        for column in self._required:
            if column.name in outcomes and outcomes[column.name] is None:
                expected = f"a value of {column.derived}" if column.derived else "a value"
                outcomes[column.name] = Mistake(column.name, expected, "nothing")
        happened = outcomes.get(self._event_timestamp.name)
        if isinstance(happened, datetime) and happened > self._latest:
            expected = "a time that is not in the future"
            outcomes[self._event_timestamp.name] = _mistake(
                ValueMismatchError(self._event_timestamp, expected, happened.isoformat())
            )
        mistakes = [outcome for outcome in outcomes.values() if isinstance(outcome, Mistake)]
        return {n: outcome for n, outcome in outcomes.items() if not isinstance(outcome, Mistake)}, mistakes

    def identify(self, row: Sequence[Any], values: Mapping[str, Value]) -> tuple[Hashable, ...]:
        """Return what two rows share if they are the same in every column of the source."""
        read = (values[column.name] for column, _ in self._read)
        return (*read, *(repr(row[place]) for place in self._unread))

    def _outcome(self, column: Column, cell: Any) -> Value | Mistake:
        known = self._known[column.name]
        try:
            return known[type(cell), cell]
        except KeyError:
            outcome = known[type(cell), cell] = self._judge(column, cell)
            return outcome
        except TypeError:
            # A list or the like is no key of a dict.
            return self._judge(column, cell)

    def _judge(self, column: Column, cell: Any) -> Value | Mistake:
        try:
            return self._read_cell(column, cell)
        except ValueMismatchError as exc:
            return _mistake(exc)


def _mistake(exc: ValueMismatchError) -> Mistake:
    return Mistake(exc.column, exc.expected, exc.received)


def _derive(column: Column, expression: Expression, values: Mapping[str, Any]) -> Value | Mistake:
    try:
        return read_json(column, expression.evaluate(values))
    except ValueMismatchError as exc:
        return _mistake(exc)
    except ValueError as exc:
        return Mistake(column.name, "a value", str(exc))


def _name_cells(header: Sequence[str], row: Sequence[Any]) -> dict[str, Any]:
    names = [*header, *(f"cell {place}" for place in range(len(header) + 1, len(row) + 1))]
    return dict(zip(names, row, strict=False))
