"""Dates and times as numbers that expressions compute with: seconds since 1970 in UTC, and parts of a date.

Written with the operators that Python's numbers, numpy's arrays and TensorFlow's tensors share, so that one
text is the arithmetic of all three. Every quantity is a whole number far below 2**53, which float64 holds.

Source:
    Hinnant, chrono-compatible low-level date algorithms, `civil_from_days` and `days_from_civil`
    (https://howardhinnant.github.io/date_algorithms.html).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from importlib import resources
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECONDS_A_DAY = 86400.0

# The least and the greatest value of each part of a date; a week begins with Monday (ISO 8601).
PARTS: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        "hour": (0, 23),
        "weekday": (1, 7),
        "day": (1, 31),
        "day_of_year": (1, 366),
        "month": (1, 12),
        "year": (1, 9999),
    }
)

# Before, clocks went by the sun of each town; after, a zone's last rule stands for ever. Chosen by eye.
_FIRST_YEAR, _LAST_YEAR = 1900, 2150
# No zone has changed its clocks and changed them back within days.
_STRIDE = timedelta(days=5)
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class Zone:
    """What a zone's clocks show, as steps: before `bounds[0]` ahead of UTC by `ahead[0]`, and so on.

    Attributes:
        bounds: Seconds since 1970 at which the clocks are changed, ascending.
        ahead: Of UTC, one more than there are bounds.

    Units:
        Seconds.
    """

    bounds: tuple[float, ...]
    ahead: tuple[float, ...]


def seconds_of(moment: datetime) -> float:
    """Return the whole seconds from 1970 to a moment; without a zone it is UTC."""
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return float((aware - EPOCH) // _SECOND)


@lru_cache(maxsize=64)
def find_zone(name: str) -> Zone:
    """Return a zone's steps.

    They are of the database that is installed with us, not of the machine's own, so that training and serving
    have the same.

    Args:
        name: Its name in the IANA database, such as Europe/Paris.

    Raises:
        ValueError: There is none of that name.
    """
    if name == "UTC":
        return Zone((), (0.0,))
    zone = _read_zone(name)
    start, end = (datetime(year, 1, 1, tzinfo=UTC) for year in (_FIRST_YEAR, _LAST_YEAR))
    bounds: list[float] = []
    ahead = [_ahead(zone, start)]
    while start < end:
        after = start + _STRIDE
        if _ahead(zone, after) != ahead[-1]:
            changed = _find_change(zone, start, after)
            bounds.append(seconds_of(changed))
            ahead.append(_ahead(zone, changed))
            # There may be another within the stride.
            after = changed
        start = after
    return Zone(tuple(bounds), tuple(ahead))


def fingerprint_zone(name: str) -> str:
    """Return a hash of what a zone's clocks show; two databases with the same rules for it have the same."""
    return hashlib.sha256(repr(find_zone(name)).encode()).hexdigest()[:16]


def part_of(name: str, seconds: Any) -> Any:
    """Return a part of a date.

    Args:
        name: One of `PARTS`.
        seconds: Since 1970, as the clocks show; NaN stays NaN.
    """
    days = seconds // SECONDS_A_DAY
    if name == "hour":
        return (seconds - days * SECONDS_A_DAY) // 3600.0
    if name == "weekday":
        # The first of January 1970 was a Thursday.
        since_monday = days + 3.0
        return since_monday - (since_monday // 7.0) * 7.0 + 1.0
    # Years that begin with March, whose last day is the leap day, in eras of 400 years.
    since_march = days + 719468.0
    era = since_march // 146097.0
    day_of_era = since_march - era * 146097.0
    year_of_era = (
        day_of_era - day_of_era // 1460.0 + day_of_era // 36524.0 - day_of_era // 146096.0
    ) // 365.0
    day_of_year = day_of_era - (365.0 * year_of_era + year_of_era // 4.0 - year_of_era // 100.0)
    month = (5.0 * day_of_year + 2.0) // 153.0
    if name == "day":
        return day_of_year - (153.0 * month + 2.0) // 5.0 + 1.0
    # January and February are the last two.
    is_next_year = month // 10.0
    if name == "month":
        return month + 3.0 - 12.0 * is_next_year
    year = year_of_era + era * 400.0 + is_next_year
    if name == "year":
        return year
    before = year - 1.0
    new_year = 365.0 * before + before // 4.0 - before // 100.0 + before // 400.0 - 719162.0
    return days - new_year + 1.0


def _read_zone(name: str) -> ZoneInfo:
    parts = name.split("/")
    # Names are looked up in the package alone: nothing of the machine's files can be named.
    if all(part.replace("_", "").replace("-", "").replace("+", "").isalnum() for part in parts):
        found = resources.files("tzdata").joinpath("zoneinfo", *parts)
        if found.is_file():
            with found.open("rb") as file:
                try:
                    return ZoneInfo.from_file(file, key=name)
                except ValueError:
                    # A file of the package's that is no zone.
                    pass
    raise ValueError(f"a zone is named as in the IANA database, such as Europe/Paris; received {name!r}")


def _ahead(zone: ZoneInfo, moment: datetime) -> float:
    ahead = moment.astimezone(zone).utcoffset()
    assert ahead is not None
    return ahead.total_seconds()


def _find_change(zone: ZoneInfo, before: datetime, after: datetime) -> datetime:
    """Return the first second of what the clocks show after, by halving."""
    old = _ahead(zone, before)
    while after - before > _SECOND:
        middle = before + (after - before) // (2 * _SECOND) * _SECOND
        before, after = (middle, after) if _ahead(zone, middle) == old else (before, middle)
    return after
