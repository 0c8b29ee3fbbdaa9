"""Spans: the dated or numbered parts by which a source grows, and how a location names them.

`sales/{date}.csv` is a file a day, `sales/year={year}/month={month}/*.parquet` a folder a month,
`sales/{span}/v{version}.csv` numbered parts of which the greatest version counts.

Source:
    TFX 1.16, ExampleGen (span, version and rolling range of an input's pattern):
    https://www.tensorflow.org/tfx/guide/examplegen#span
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from mulgil.contract.dictionary import Contract
from mulgil.errors import InputError, describe

# A month stands for its first day.
_FORMS = {
    "date": r"\d{4}-\d{2}(?:-\d{2})?|\d{8}",
    "year": r"\d{4}",
    "month": r"\d{1,2}",
    "day": r"\d{1,2}",
    "span": r"\d+",
    "version": r"\d+",
}
_PLACEHOLDER = re.compile(r"\{(" + "|".join(_FORMS) + r")\}")
_ANY_PLACEHOLDER = re.compile(r"\{(\w+)\}")
# Each is a way to say which span a file is of.
_WAYS = ({"date"}, {"year"}, {"year", "month"}, {"year", "month", "day"}, {"span"})
_EPOCH = date(1970, 1, 1).toordinal()

# Rows that one span may number: with it and the days since 1970, or a span's number, in 53 bits.
ROWS_OF_SPAN = 10**9
_GREATEST_NUMBER = 2**53 // ROWS_OF_SPAN - 1

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


def _bound(value: Any) -> Any:
    """Return a date or a number; pydantic would take a number for seconds, and says a mistake twice."""
    if value is None or type(value) is date or (type(value) is int and value >= 0):
        return value
    text = str(value)
    if text.isdecimal():
        return int(text)
    try:
        return date.fromisoformat(text if _DAY.fullmatch(text) else "")
    except ValueError:
        raise ValueError(
            f"a bound is a day of the calendar, such as 2026-10-31, or a span's number; received {value!r}"
        ) from None


Bound = Annotated[
    date | Annotated[int, Field(ge=0)],
    BeforeValidator(_bound, json_schema_input_type=date | Annotated[int, Field(ge=0)]),
]


class Window(Contract):
    """Which of a source's spans are read; all, if nothing is said."""

    newest: int | None = Field(default=None, ge=1, description="How many of the latest, at most.")
    since: Bound | None = Field(default=None, description="The first of them, a date or a number.")
    until: Bound | None = Field(default=None, description="The last of them, a date or a number.")

    @model_validator(mode="after")
    def _is_not_empty(self) -> Self:
        if self.since is None or self.until is None:
            return self
        if _number_of(self.since) > _number_of(self.until):
            raise ValueError(f"expected since at most until; received since={self.since} until={self.until}")
        return self

    def choose(self, spans: Sequence[Span]) -> tuple[Span, ...]:
        """Return those of some spans, the oldest first, that are read."""
        low = -math.inf if self.since is None else _number_of(self.since)
        high = _GREATEST_NUMBER if self.until is None else _number_of(self.until)
        inside = [span for span in spans if low <= span.number <= high]
        return tuple(inside[-self.newest :] if self.newest else inside)


class FileWindow(Window):
    """Which of a source's spans of files are read."""

    listing: str | None = Field(
        default=None,
        pattern=r"^https?://",
        description="Of a web server, the address of a page or text that names its files. Without it each "
        "date or number from `since` on is asked for.",
    )


@dataclass(frozen=True)
class Span:
    """A part by which a source grows.

    Attributes:
        name: Its date or its number, as messages have it.
        number: Days since 1970, or its number.
        files: Paths, names in a store or addresses, in order; of a database none.
        day: Its date, where it has one.
    """

    name: str
    number: int
    files: tuple[str, ...] = ()
    day: date | None = None


def has_spans(location: str) -> bool:
    """Whether a location has a placeholder for a span."""
    return _PLACEHOLDER.search(location) is not None


def has_dates(location: str) -> bool:
    """Whether a location's spans have dates."""
    return bool({"date", "year"} & placeholders_of(location))


def placeholders_of(location: str) -> set[str]:
    """Return the names of a location's placeholders."""
    return set(_PLACEHOLDER.findall(location))


def span_of_day(day: date) -> Span:
    """Return the span of a date."""
    return Span(day.isoformat(), _number_of(day), day=day)


def is_on_web(location: str) -> bool:
    """Whether a location is behind a web server, of which nobody can ask which files it has."""
    return location.startswith(("http://", "https://"))


def explain_spans(location: str, window: Window | None = None) -> str | None:
    """Say why a location's spans cannot be told, or not chosen by a window; `None` where they can."""
    return _explain_placeholders(location) or (
        None
        if not has_spans(location)
        else _explain_web(location, window) or _explain_window(location, window)
    )


def _explain_placeholders(location: str) -> str | None:
    names = set(_ANY_PLACEHOLDER.findall(location))
    unknown = sorted(names - _FORMS.keys())
    if not names:
        return None
    if unknown:
        return (
            "the placeholders of a location are "
            + ", ".join(f"{{{name}}}" for name in _FORMS)
            + "; received "
            + ", ".join(f"{{{name}}}" for name in unknown)
        )
    if names - {"version"} not in _WAYS:
        return (
            "a span is named by {date}, by {year} with or without {month} and {day}, or by {span}, and a "
            "{version} goes with one of them; received " + " ".join(f"{{{name}}}" for name in sorted(names))
        )
    return None


def _explain_web(location: str, window: Window | None) -> str | None:
    listing = window.listing if isinstance(window, FileWindow) else None
    if not is_on_web(location):
        return (
            None
            if listing is None
            else (f"`listing` goes with spans on a web server; received location={location}")
        )
    if listing is not None:
        return None
    if window is None or window.since is None:
        return (
            "a web server cannot be asked which files it has; expected `spans: {since: …}`, from which on "
            "each date or number is asked for, or `spans: {listing: https://…}`, a page that names the "
            f"files; received {location}"
        )
    if "version" in placeholders_of(location) or "*" in location:
        return (
            "of a web server's spans each has one file, of a name that can be told from its date or number; "
            f"expected no {{version}} and no * in the location, or `spans: {{listing: https://…}}`; "
            f"received {location}"
        )
    return None


def pattern_of(location: str) -> str:
    """Return the pattern, with stars, of all files that may be of a span."""
    return _PLACEHOLDER.sub("*", location)


def _explain_window(location: str, window: Window | None) -> str | None:
    if window is None:
        return None
    are_dates = has_dates(location)
    bounds = {"since": window.since, "until": window.until}
    wrong = [
        f"{key}={bound}"
        for key, bound in bounds.items()
        if bound is not None and isinstance(bound, date) != are_dates
    ]
    if not wrong:
        return None
    form = "a date, such as 2026-10-31" if are_dates else "a number"
    return f"a bound of these spans is {form}; received {' '.join(wrong)} for location={location}"


def gather_spans(location: str, names: Iterable[str]) -> tuple[tuple[Span, ...], tuple[str, ...]]:
    """Tell which spans some files are of.

    Args:
        location: With placeholders.
        names: What is there under `pattern_of(location)`.

    Returns:
        The spans, the oldest first, each with the files of its greatest version; and what is of no span.

    Raises:
        InputError: A name has a date that is none.
    """
    form = _form_of(location)
    found: dict[int, dict[int, list[str]]] = {}
    titles: dict[int, tuple[str, date | None]] = {}
    others = []
    for name in sorted(names):
        match = form.match(name)
        if match is None:
            others.append(name)
            continue
        number, title, day = _identify(match, name)
        titles[number] = title, day
        version = int(match.groupdict().get("version") or 0)
        found.setdefault(number, {}).setdefault(version, []).append(name)
    spans = tuple(
        Span(titles[number][0], number, tuple(versions[max(versions)]), titles[number][1])
        for number, versions in sorted(found.items())
    )
    return spans, tuple(others)


def _identify(match: re.Match[str], name: str) -> tuple[int, str, date | None]:
    parts = match.groupdict()
    if parts.get("span") is not None:
        number = int(parts["span"])
        if number > _GREATEST_NUMBER:
            raise InputError(
                describe(
                    "A span's number is too great",
                    expected=f"at most {_GREATEST_NUMBER}; {{date}} where it is a date",
                    received=name,
                    next_step="rename or remove the file, or write {date} in `source.location`",
                )
            )
        return number, str(number), None
    text = parts.get("date")
    try:
        if text is not None:
            day = date.fromisoformat(f"{text}-01" if len(text) == len("2026-01") else text)
        else:
            day = date(int(parts["year"]), int(parts.get("month") or 1), int(parts.get("day") or 1))
    except ValueError as exc:
        raise InputError(
            describe(
                "A span's file is named by a date that there is not",
                expected="a day of the calendar",
                received=f"{name} ({exc})",
                next_step="rename the file, or remove it",
            )
        ) from exc
    return _number_of(day), day.isoformat(), day


def _form_of(location: str) -> re.Pattern[str]:
    """Return what a name of a span's file looks like, and what lies in a folder of that name."""
    text, seen, end = "", set(), 0
    for match in _PLACEHOLDER.finditer(location):
        name = match[1]
        text += _as_expression(location[end : match.start()])
        # Where a date stands twice it is one.
        text += f"(?P={name})" if name in seen else f"(?P<{name}>{_FORMS[name]})"
        seen.add(name)
        end = match.end()
    return re.compile(text + _as_expression(location[end:]) + r"(/.*)?\Z", re.DOTALL)


def _as_expression(pattern: str) -> str:
    """Return a part of a pattern with stars as a regular expression."""
    form = re.compile(
        r"(?P<deep>\*\*/?)|(?P<star>\*)|(?P<one>\?)|(?P<sign>\[[^\]]+\])|(?P<plain>.)", re.DOTALL
    )
    expressions = {"deep": ".*", "star": "[^/]*", "one": "[^/]"}
    parts = []
    for match in form.finditer(pattern):
        kind = str(match.lastgroup)
        if kind == "sign":
            parts.append(match[0].replace("[!", "[^", 1))
        else:
            parts.append(expressions.get(kind) or re.escape(match[0]))
    return "".join(parts)


def _number_of(bound: date | int) -> int:
    return bound.toordinal() - _EPOCH if isinstance(bound, date) else bound
