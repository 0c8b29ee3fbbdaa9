"""A database's spans: periods of the calendar, which a query is asked for one by one.

Source:
    TFX 1.16, query-based ExampleGen (@span_begin_timestamp, @span_end_timestamp in a query):
    https://www.tensorflow.org/tfx/guide/examplegen#span
"""

from __future__ import annotations

import re
from datetime import MAXYEAR, date, timedelta
from typing import Self

from pydantic import Field, model_validator

from mulgil.contract.periods import Every, begin_of, end_of
from mulgil.contract.spans import Window

SPAN_BEGIN, SPAN_END = "span_begin", "span_end"
_PARAMETER = re.compile(rf"(?<![:\w\\]):({SPAN_BEGIN}|{SPAN_END})(?![\w:])")
# Where a query's signs mean nothing: strings, quoted names, comments. A backslash escapes a quote in MySQL,
# and in PostgreSQL after an E.
_QUOTED = re.compile(
    r"""(?<!\w)[eE]'(?:[^'\\]|\\.)*'|'[^']*'|"[^"]*"|`[^`]*`|--[^\n]*|/\*.*?\*/""", re.DOTALL
)
_QUOTED_IN_MYSQL = re.compile(
    r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`[^`]*`|--[^\n]*|\#[^\n]*|/\*.*?\*/""", re.DOTALL
)
# Of a query, in a message.
_SHOWN = 60


class QueryWindow(Window):
    """By which periods a query is asked, and which of them are read; one is read when it is over."""

    every: Every = Field(default="day", description="How long a span is; a week begins on Monday.")
    checksum: str | None = Field(
        default=None,
        min_length=1,
        description="An SQL aggregate of the query's columns, such as max(updated_at) or sum(size), that is "
        "another one when a period's rows are others; then the period is read anew.",
    )

    @model_validator(mode="after")
    def _begins_with_a_period(self) -> Self:
        numbers = {"since": self.since, "until": self.until}
        wrong = [f"{key}={value}" for key, value in numbers.items() if isinstance(value, int)]
        if self.since is None or wrong:
            raise ValueError(
                "a query's spans are periods from a first day on; expected `since: 2026-10-01`; "
                f"received {' '.join(wrong) or 'no since'}"
            )
        if self.first_day != begin_of(self.every, self.first_day):
            raise ValueError(
                f"`since` is the first day of a {self.every}; expected "
                f"{begin_of(self.every, self.first_day)}; received {self.since}"
            )
        # The last year that there is stands for no end.
        if isinstance(self.until, date) and self.until.year < MAXYEAR:
            begin = begin_of(self.every, self.until)
            last = end_of(self.every, begin) - timedelta(days=1)
            if self.until != last:
                before = f"{begin - timedelta(days=1)} or " if begin > self.first_day else ""
                raise ValueError(
                    f"`until` is the last day of a {self.every}, which is read whole or not at all; expected "
                    f"{before}{last}; received {self.until}"
                )
        return self

    @property
    def first_day(self) -> date:
        """The first day of the first period."""
        assert isinstance(self.since, date)
        return self.since


def explain_bounds(query: str, window: QueryWindow | None, *, is_mysql: bool) -> str | None:
    """Say why a query cannot be asked as a window says; `None` where it can.

    Args:
        query: In SQL.
        window: By which periods it is asked, if by any.
        is_mysql: Whether quotes and comments are those of MySQL.
    """
    named = _PARAMETER.findall(query)
    if window is None:
        if not named:
            return None
        return (
            f":{' and :'.join(sorted(set(named)))} stand for the bounds of a span; expected `spans: {{since: "
            "2026-10-01}` beside the query; received none"
        )
    statement = without_end(query)
    plain = (_QUOTED_IN_MYSQL if is_mysql else _QUOTED).sub(lambda quoted: " " * len(quoted[0]), statement)
    meant = _PARAMETER.findall(plain)
    quoted = sorted({name for name in named if named.count(name) != meant.count(name)})
    if quoted:
        return (
            "a bound in quotes or in a comment is no bound; expected it without quotes, and in a comment "
            f"without its colon; received there {' '.join(f':{name}' for name in quoted)}"
        )
    if set(named) != {SPAN_BEGIN, SPAN_END}:
        return (
            f"a query that is read in spans has their bounds in it, as in WHERE seen >= :{SPAN_BEGIN} AND "
            f"seen < :{SPAN_END}; received {' '.join(f':{name}' for name in sorted(set(named))) or 'neither'}"
        )
    if ";" in plain:
        return (
            "a query that is read in spans is one statement; expected nothing after its semicolon, no "
            f"comment either; received {statement[plain.index(';') :][:_SHOWN]}"
        )
    return None


def without_end(query: str) -> str:
    """Return a query without the semicolon that may end it."""
    return query.rstrip().rstrip(";")
