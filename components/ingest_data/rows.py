"""From raw cells to values, batch by batch: what is read, what is set aside and why."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.ingest_data.cells import ReadCell
from components.ingest_data.columns import ARROW_TYPES, ReadColumn, read_column
from components.ingest_data.identity import Identities, identify_rows
from components.ingest_data.table import Batch, Cells, FileOfRows
from mulgil.artifacts import SPLITS
from mulgil.broken_rules import find_broken, tell_values
from mulgil.contract.dictionary import (
    Column,
    ColumnRole,
    ColumnType,
    DataDictionary,
    MissingPolicy,
)
from mulgil.contract.expressions import Expression
from mulgil.contract.sources import Split
from mulgil.contract.spans import ROWS_OF_SPAN, Span
from mulgil.contract.values import ValueMismatchError, check_domain, read_json
from mulgil.contract.violations import ViolationPolicy
from mulgil.errors import InputError, describe
from mulgil.preprocessing.rows import derive_array

_KEYS = {
    ColumnRole.TARGET,
    ColumnRole.ENTITY,
    ColumnRole.EVENT_TIMESTAMP,
    ColumnRole.CREATED_TIMESTAMP,
}

_NOT_IN_THE_FUTURE = "a time that is not in the future"

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
        file: Which file it is of, if several are read as one table.
    """

    row_number: int
    mistakes: tuple[Mistake, ...]
    cells: dict[str, Any]
    file: FileOfRows | None = None


@dataclass(frozen=True)
class ReadRows:
    """A batch's rows, read.

    Attributes:
        rows: The rows that are right, with the dictionary's kept columns in its order.
        identities: What two of them share if they are the same in every column of the source.
        keys: What they are divided by, where that is no target.
        quarantined: The rows that are wrong.
        due: When the first of them that is from the future no longer is, if there is such.
    """

    rows: pa.RecordBatch
    identities: Identities
    keys: pa.Array | None
    quarantined: tuple[QuarantinedRow, ...]
    due: datetime | None


class RowReader:
    """Reads the rows of a table whose columns are the dictionary's.

    A value outside its column's range or categories is kept: whether too many are is for validation to judge.

    Args:
        header: The columns of the source.
        read_cell: What its cells mean.
        dictionary: What its columns mean.
        split: How the rows will be divided, which can be by a column that is not kept.
        now: No row can have become true later.
        span: The span that its rows are of, if the source has spans.

    Raises:
        InputError: A column is to hold the span's date, and there is none.
    """

    def __init__(
        self,
        header: Sequence[str],
        read_cell: ReadCell,
        dictionary: DataDictionary,
        split: Split,
        now: datetime,
        span: Span | None = None,
    ) -> None:
        self._span = span
        derived = [(column, column.expression) for column in dictionary.columns]
        self._derived = [(column, expression) for column, expression in derived if expression is not None]
        self._aggregates = dictionary.aggregates
        self._generated = [column for column in dictionary.columns if column.generated is not None]
        self._required = {
            column.name
            for column in dictionary.kept
            if column.role in _KEYS or (column.missing is MissingPolicy.REJECT and column.aggregate is None)
        }
        operands = {name for _, expression in self._derived for name in expression.columns}
        operands |= dictionary.ruled
        self._key = find_split_key(dictionary, split)
        self._is_predefined = split.kind == "predefined"
        if self._key is not None:
            operands.add(self._key.name)
            self._required.add(self._key.name)
        in_source = [(c, header.index(c.name_in_source)) for c in dictionary.columns if c.is_in_source]
        # What is ignored and no derived column needs may hold anything, and is only compared.
        self._read = [(c, at) for c, at in in_source if c.role is not ColumnRole.IGNORE or c.name in operands]
        self._unread = [at for c, at in in_source if c.role is ColumnRole.IGNORE and c.name not in operands]
        self._bounded = [c for c in dictionary.kept if c.on_violation is ViolationPolicy.QUARANTINE]
        self._header = tuple(header)
        self._read_cell = read_cell
        self._ingested = dictionary.ingested
        self._dictionary = dictionary
        self._rules = [rule for rule in dictionary.rules if rule.on_violation is ViolationPolicy.QUARANTINE]
        self._event_timestamp = dictionary.event_timestamp
        self._latest = now + _AHEAD

    def read(self, batch: Batch) -> ReadRows:
        """Read a batch."""
        columns = {c.name: read_column(c, batch.columns[at], self._read_cell) for c, at in self._read}
        for column in self._aggregates:
            # All rows must be there before any has a past.
            columns[column.name] = ReadColumn(pa.nulls(len(batch.numbers), ARROW_TYPES[column.type]), {})
        for column, expression in self._derived:
            columns[column.name] = derive(column, expression, columns, len(batch.numbers))
        for column in self._generated:
            columns[column.name] = ReadColumn(_generate(column, batch, self._span), {})
        due = self._refuse_the_future(columns)
        for column in self._bounded:
            _refuse_outside(column, columns[column.name])
        if self._key is not None and self._is_predefined:
            _refuse_unknown_splits(self._key, columns[self._key.name])
        mistakes = self._collect_mistakes(columns)
        self._refuse_broken_rules(columns, mistakes, len(batch.numbers))
        is_right = np.ones(len(batch.numbers), dtype=bool)
        is_right[list(mistakes)] = False
        mask = pa.array(is_right)
        read = [columns[column.name].values for column, _ in self._read]
        # The same on another day is no repetition, where nothing but the span tells the day.
        read += [columns[column.name].values for column in self._generated if column.generated == "span"]
        unread = [_as_words(batch.columns[at]) for at in self._unread]
        arrays = [columns[column.name].values.filter(mask) for column in self._ingested]
        return ReadRows(
            rows=pa.RecordBatch.from_arrays(arrays, names=[column.name for column in self._ingested]),
            identities=identify_rows([*read, *unread])[is_right],
            keys=None if self._key is None else columns[self._key.name].values.filter(mask),
            quarantined=self._set_aside(batch, mistakes),
            due=due,
        )

    def _refuse_the_future(self, columns: dict[str, ReadColumn]) -> datetime | None:
        """Refuse rows from the future, and return when the first of them no longer is."""
        column = self._event_timestamp
        moments = columns[column.name]
        if not len(moments.values) or not moments.values.null_count < len(moments.values):
            return None
        latest = pa.scalar(self._latest, ARROW_TYPES[column.type])
        is_ahead = pc.fill_null(pc.greater(moments.values, latest), False)
        for place in np.flatnonzero(is_ahead.to_numpy(zero_copy_only=False)):
            received = moments.values[int(place)].as_py().isoformat()
            moments.mistakes[int(place)] = ValueMismatchError(column, _NOT_IN_THE_FUTURE, received)
        first = pc.min(moments.values.filter(is_ahead)).as_py()
        return None if first is None else first - _AHEAD

    def _collect_mistakes(self, columns: Mapping[str, ReadColumn]) -> dict[int, list[Mistake]]:
        """Return what is wrong by row, in the order of the columns."""
        derived = {column.name: column.derived for column, _ in self._derived}
        found: dict[int, list[Mistake]] = {}
        for name, column in columns.items():
            wrong: dict[int, Mistake] = {}
            if name in self._required and column.values.null_count:
                expected = f"a value of {derived[name]}" if name in derived else "a value"
                nothing = Mistake(name, expected, "nothing")
                places = np.flatnonzero(pc.is_null(column.values).to_numpy(zero_copy_only=False))
                wrong = dict.fromkeys(places.tolist(), nothing)
            for place, exc in column.mistakes.items():
                wrong[place] = Mistake(exc.column, exc.expected, exc.received)
            for place in _unknown(name, self._derived, columns):
                wrong.pop(place, None)
            for place, mistake in wrong.items():
                found.setdefault(place, []).append(mistake)
        return found

    def _refuse_broken_rules(
        self, columns: Mapping[str, ReadColumn], mistakes: dict[int, list[Mistake]], rows: int
    ) -> None:
        """Add the rows that break a rule, and are right but for that."""
        is_right = np.ones(rows, dtype=bool)
        is_right[list(mistakes)] = False
        for rule in self._rules:
            values = {name: columns[name].values for name in rule.columns}
            _, is_broken = find_broken(rule, values, rows)
            for place in np.flatnonzero(is_broken & is_right).tolist():
                received = tell_values(
                    self._dictionary, {name: cells[place].as_py() for name, cells in values.items()}
                )
                names = " and ".join(sorted(rule.columns))
                mistakes.setdefault(place, []).append(Mistake(names, rule.text, received))

    def _set_aside(self, batch: Batch, mistakes: Mapping[int, list[Mistake]]) -> tuple[QuarantinedRow, ...]:
        rows = [
            QuarantinedRow(
                int(batch.numbers[place]),
                tuple(wrong),
                {
                    name: _as_python(cells[place])
                    for name, cells in zip(self._header, batch.columns, strict=True)
                },
                batch.file,
            )
            for place, wrong in mistakes.items()
        ]
        rows += [
            QuarantinedRow(
                misfit.number,
                (Mistake("the row", misfit.expected, misfit.received),),
                misfit.cells,
                batch.file,
            )
            for misfit in batch.misfits
        ]
        return tuple(sorted(rows, key=lambda row: row.row_number))


def find_split_key(dictionary: DataDictionary, split: Split) -> Column | None:
    """Return the column that rows are divided by, where that is no target.

    Raises:
        InputError: `split.column` names none.
    """
    if split.kind == "group":
        return dictionary.entity
    if split.kind == "time":
        return dictionary.event_timestamp
    if split.kind != "predefined":
        return None
    found = [column for column in dictionary.columns if column.name == split.column]
    if found and found[0].type in (ColumnType.CATEGORY, ColumnType.TEXT):
        return found[0]
    raise InputError(
        describe(
            "The rows cannot be divided by the column that project.yaml names",
            expected=f"a column of the dictionary of type category or text, with {', '.join(SPLITS)}",
            received=f"split.column={split.column}" + (f" of type {found[0].type}" if found else ""),
        )
    )


def _refuse_unknown_splits(column: Column, read: ReadColumn) -> None:
    is_known = pc.is_in(read.values, value_set=pa.array(SPLITS))
    is_unknown = pc.and_(pc.invert(is_known), pc.is_valid(read.values))
    for place in np.flatnonzero(is_unknown.to_numpy(zero_copy_only=False)):
        received = read.values[int(place)].as_py()
        read.mistakes[int(place)] = ValueMismatchError(column, "one of " + ", ".join(SPLITS), received)


def _refuse_outside(column: Column, read: ReadColumn) -> None:
    """Refuse what lies outside the column's range or categories."""
    if column.categories is not None:
        is_inside = pc.is_in(read.values, value_set=pa.array(list(column.categories), pa.string()))
    else:
        low, high = column.range or (None, None)
        numbers = read.values.cast(pa.float64())
        is_inside = pc.and_(
            pc.greater_equal(numbers, -math.inf if low is None else low),
            pc.less_equal(numbers, math.inf if high is None else high),
        )
    is_outside = pc.and_(pc.is_valid(read.values), pc.invert(is_inside))
    for place in np.flatnonzero(pc.fill_null(is_outside, False).to_numpy(zero_copy_only=False)):
        try:
            check_domain(column, read.values[int(place)].as_py())
        except ValueMismatchError as exc:
            read.mistakes[int(place)] = exc


def derive(
    column: Column, expression: Expression, columns: Mapping[str, ReadColumn], rows: int
) -> ReadColumn:
    """Evaluate an expression; a target's once for each different combination of what it reads."""
    if column.is_derived_feature:
        values = derive_array(expression, {name: columns[name].values for name in expression.columns}, rows)
        return ReadColumn(values.cast(ARROW_TYPES[column.type]), {})
    operands = sorted(expression.columns)
    wrong = {place for name in operands for place in columns[name].mistakes}
    known: dict[tuple[Any, ...], Any] = {}
    derived: list[Any] = []
    mistakes: dict[int, ValueMismatchError] = {}
    cells = [columns[name].values.to_pylist() for name in operands]
    for place, key in enumerate(zip(*cells, strict=True) if cells else [()] * rows):
        if place in wrong:
            derived.append(None)
            continue
        if key not in known:
            known[key] = _evaluate(column, expression, dict(zip(operands, key, strict=True)))
        value = known[key]
        if isinstance(value, ValueMismatchError):
            mistakes[place] = value
            value = None
        derived.append(value)
    return ReadColumn(pa.array(derived, ARROW_TYPES[column.type]), mistakes)


def _evaluate(column: Column, expression: Expression, row: Mapping[str, Any]) -> Any:
    try:
        return read_json(column, expression.evaluate(row))
    except ValueMismatchError as exc:
        return exc
    except ValueError as exc:
        mismatch = ValueMismatchError(column, "a value", "")
        mismatch.received = str(exc)
        return mismatch


def _unknown(
    name: str, derived: Sequence[tuple[Column, Expression]], columns: Mapping[str, ReadColumn]
) -> set[int]:
    """Return the rows where a derived column is not known because of a mistake that is told already."""
    return {
        place
        for column, expression in derived
        if column.name == name
        for operand in expression.columns
        for place in columns[operand].mistakes
    }


def _generate(column: Column, batch: Batch, span: Span | None) -> pa.Array:
    if column.generated == "row_number":
        # Whatever spans come and go, a row keeps its number.
        before = 0 if span is None else span.number * ROWS_OF_SPAN
        return pa.array(batch.numbers + before, pa.int64())
    text = column.generated
    if text == "span":
        if span is None or span.day is None:
            raise InputError(
                describe(
                    f"There is no date for the column {column.name}, which is `generated: span`",
                    expected="a source whose location has {date} in it, or {year}, {month} and {day}",
                    received="no span" if span is None else f"span {span.name}",
                )
            )
        text = f"{span.day.isoformat()}T00:00:00Z"
    moment = pa.scalar(read_json(column, text), ARROW_TYPES[column.type])
    return pa.repeat(moment, len(batch.numbers))


def _as_words(cells: Cells) -> pa.Array:
    if isinstance(cells, pa.Array) and pa.types.is_string(cells.type):
        return cells
    return pa.array([repr(_as_python(cell)) for cell in cells], pa.string())


def _as_python(cell: Any) -> Any:
    value = cell.as_py() if isinstance(cell, pa.Scalar) else cell
    # A file, which a line of text is no place for; the row's number leads to it.
    return f"{len(value)} bytes" if isinstance(value, bytes) else value
