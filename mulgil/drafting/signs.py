"""Which signs stand in the text of numbers: currencies, percent, units, thousands separators."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from mulgil.contract.number_signs import GROUPING

_CURRENCIES = (
    "$",
    "€",
    "£",
    "¥",
    "₩",
    "₹",
    "USD",
    "EUR",
    "GBP",
    "JPY",
    "KRW",
    "INR",
    "CHF",
    "Rs.",
    "Rs",
    "US$",
)
# A letter alone may be part of a code, as in 4A; these come after numbers of their own.
_UNITS = (
    *(
        "%",
        "‰",
        "°",
        "°C",
        "°F",
        "kg",
        "g",
        "mg",
        "lb",
        "lbs",
        "oz",
        "km",
        "m",
        "cm",
        "mm",
        "mi",
        "ft",
        "miles",
    ),
    *(
        "kWh",
        "kW",
        "hp",
        "bhp",
        "HP",
        "CC",
        "cc",
        "kmpl",
        "km/h",
        "mph",
        "ml",
        "l",
        "L",
        "h",
        "min",
        "s",
        "ms",
    ),
    *("MB", "GB", "years", "yrs", "days", "months", "hours", "minutes", "mmHg", "bpm", "pts"),
)
_PARTS = re.compile(r"^[-+]?(\D{0,10}?)\s*[-+]?(\d[\d,.'’ \u00a0\u202f]*)(.{0,12})$", re.S)

# So many of the different words must be written alike; a code that happens to end so is no number.
_LEAST = 0.95


def find_number_signs(words: Sequence[str], decimal: str) -> tuple[str, ...]:
    """Return the signs by which nearly all words are numbers with something around or within them.

    Args:
        words: The column's different words.
        decimal: The sign before a number's fraction.
    """
    words = [word for word in words if word]
    parts = [found for found in map(_PARTS.match, words) if found]
    if not words or len(parts) < _LEAST * len(words):
        return ()
    befores = Counter(before for before, _, _ in (p.groups() for p in parts) if before.strip())
    afters = Counter(after.strip() for _, _, after in (p.groups() for p in parts) if after.strip())
    if befores.keys() - set(_CURRENCIES) or afters.keys() - {*_CURRENCIES, *_UNITS}:
        return ()
    # Two units in one column are no measurement of one kind.
    if len(befores) > 1 or len(afters) > 1:
        return ()
    numbers = [number.strip() for _, number, _ in (p.groups() for p in parts)]
    between = {character for number in numbers for character in number if character in GROUPING} - {decimal}
    return (*befores, *afters, *sorted(between))
