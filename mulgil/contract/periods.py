"""Spans of the calendar, for sources that cannot be asked which they have: databases and web servers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Literal

from mulgil.contract.spans import Span, placeholders_of, span_of_day

Every = Literal["day", "week", "month", "year"]

_FORMATS = {"date": "%Y-%m-%d", "year": "%Y", "month": "%m", "day": "%d"}


def begin_of(every: Every, day: date) -> date:
    """Return the first day of the period that a day is in; a week's is its Monday."""
    match every:
        case "day":
            return day
        case "week":
            return day - timedelta(days=day.weekday())
        case "month":
            return day.replace(day=1)
        case "year":
            return day.replace(month=1, day=1)


def end_of(every: Every, begin: date) -> date:
    """Return the first day after a period."""
    match every:
        case "day":
            return begin + timedelta(days=1)
        case "week":
            return begin + timedelta(days=7)
        case "month":
            return begin_of("month", begin + timedelta(days=31))
        case "year":
            return begin.replace(year=begin.year + 1)


def periods_between(every: Every, since: date, until: date) -> Iterator[Span]:
    """Yield the periods that begin within two days, both included, the newest first; they name no files."""
    begin = begin_of(every, until)
    while begin >= since:
        yield span_of_day(begin)
        if begin == date.min:
            return
        begin = begin_of(every, begin - timedelta(days=1))


def every_of(location: str) -> Every:
    """Return how long the spans are whose dates a location names one by one."""
    names = placeholders_of(location)
    if names & {"date", "day"}:
        return "day"
    return "month" if "month" in names else "year"


def address_of(location: str, span: Span) -> str:
    """Return a location with a span's date or number in the place of its placeholders."""
    day = span.day
    if day is None:
        return location.replace("{span}", span.name)
    return re.sub(r"\{(\w+)\}", lambda name: day.strftime(_FORMATS[name[1]]), location)
