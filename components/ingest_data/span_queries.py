"""Spans that are a query's answers, a period of the calendar each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from components.ingest_data.span_source import FoundSpans, look_back
from components.ingest_data.sql_source import (
    connectable,
    describe_failure,
    name_database,
    read_sql,
    statement_of,
)
from components.ingest_data.table import RawTable
from mulgil.contract import DataDictionary
from mulgil.contract.periods import begin_of, end_of, periods_between
from mulgil.contract.queries import SPAN_BEGIN, SPAN_END, QueryWindow
from mulgil.contract.sources import SqlSource
from mulgil.contract.spans import Span
from mulgil.errors import InputError, describe


class QuerySpans:
    """The answers to a query for one period after the other.

    A database is asked how many rows a period has, for the earliest and latest times in them, and for what
    the window has as their `checksum`; from that is told whether anything changed.

    Args:
        source: The database and the query.
        folder: Of the project.
        dictionary: Which columns are the rows' times.

    Raises:
        InputError: The database's URL or its environment is wrong.
    """

    def __init__(self, source: SqlSource, folder: Path, dictionary: DataDictionary) -> None:
        assert source.spans is not None
        # By the URL as it is written, databases of two folders or of two values of a variable are one.
        self._database = name_database(source, folder)
        self.location = f"{self._database} {source.query}"
        self._source = source
        self._window: QueryWindow = source.spans
        self._folder = folder
        times = (dictionary.event_timestamp, dictionary.created_timestamp)
        self._times = [
            column.name_in_source for column in times if column is not None and column.is_in_source
        ]

    def find(self) -> FoundSpans:
        """Ask for the rows of the periods that are over, the newest first, until there are enough of them."""
        every, first, last = self._window.every, self._window.first_day, self._last_day()
        periods = tuple(periods_between(every, first, last))
        engine = connectable(self._source, self._folder)
        try:
            with engine.connect() as connection:
                found = look_back(periods, self._window.newest, lambda span: self._look(connection, span))
        except (sa.exc.SQLAlchemyError, ValueError) as exc:
            received = f"url={self._source.url} query={self._source.query}"
            if self._window.checksum is not None:
                received += f" checksum={self._window.checksum}"
            raise describe_failure(engine, exc, received) from exc
        finally:
            engine.dispose()
        if not found.chosen:
            raise InputError(
                describe(
                    f"There is no span to read at {self._source.url}",
                    expected=f"rows in a {every} from {first} on, within `source.spans`, that is over",
                    received=f"none in {len(periods)} of them, until {last}",
                    next_step="correct `source.spans`, or the query",
                )
            )
        return found

    def read(self, span: Span, folder: Path) -> RawTable:
        """Ask for a period's rows."""
        table = read_sql(self._source, self._folder, self._bounds_of(span))
        return replace(table, location=f"{self._source.url}, span {span.name}")

    def _last_day(self) -> date:
        """Return the last day that may be in a span: of the days that are over, in UTC, and of the window."""
        today = datetime.now(UTC).date()
        # The period that today is in is not over.
        before = begin_of(self._window.every, today) - timedelta(days=1)
        until = self._window.until
        return min(until, before) if isinstance(until, date) else before

    def _bounds_of(self, span: Span) -> dict[str, date]:
        assert span.day is not None
        return {SPAN_BEGIN: span.day, SPAN_END: end_of(self._window.every, span.day)}

    def _look(self, connection: sa.Connection, span: Span) -> Mapping[str, str] | None:
        bounds = self._bounds_of(span)
        answer = statement_of(self._source, bounds).columns().subquery("span_of_rows")
        asked: list[sa.ColumnElement[Any]] = [
            bound(sa.column(name)) for name in self._times for bound in (sa.func.min, sa.func.max)
        ]
        if self._window.checksum is not None:
            asked.append(sa.literal_column(self._window.checksum))
        rows, *facts = connection.execute(sa.select(sa.func.count(), *asked).select_from(answer)).one()
        if not rows:
            return None
        return {
            f"{self._database} {' to '.join(map(str, bounds.values()))}": " ".join(map(str, (rows, *facts)))
        }
