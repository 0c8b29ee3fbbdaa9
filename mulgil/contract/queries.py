"""A database's spans: periods of the calendar, which a query is asked for one by one.

Source:
    TFX 1.16, query-based ExampleGen (@span_begin_timestamp, @span_end_timestamp in a query):
    https://www.tensorflow.org/tfx/guide/examplegen#span
"""

from __future__ import annotations

import re
from datetime import date
from typing import Self

from pydantic import Field, model_validator

from mulgil.contract.periods import Every, begin_of
from mulgil.contract.spans import Window

SPAN_BEGIN, SPAN_END = "span_begin", "span_end"
_PARAMETER = re.compile(rf"(?<![:\w\\]):({SPAN_BEGIN}|{SPAN_END})(?![\w:])")


class QueryWindow(Window):
    """By which periods a query is asked, and which of them are read; one is read when it is over."""

    every: Every = Field(default="day", description="How long a span is; a week begins on Monday.")

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
        return self

    @property
    def first_day(self) -> date:
        """The first day of the first period."""
        assert isinstance(self.since, date)
        return self.since


def explain_bounds(query: str, window: QueryWindow | None) -> str | None:
    """Say why a query cannot be asked as a window says; `None` where it can."""
    named = set(_PARAMETER.findall(query))
    if window is None and named:
        return (
            f":{' and :'.join(sorted(named))} stand for the bounds of a span; expected `spans: {{since: "
            "2026-10-01}` beside the query; received none"
        )
    if window is not None and named != {SPAN_BEGIN, SPAN_END}:
        return (
            f"a query that is read in spans has their bounds in it, as in WHERE seen >= :{SPAN_BEGIN} AND "
            f"seen < :{SPAN_END}; received {' '.join(f':{name}' for name in sorted(named)) or 'neither'}"
        )
    return None
