"""Which signs stand in the text of numbers: currencies, percent, units, thousands separators."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from mulgil.contract.number_signs import GROUPING, NEGATIVE, without_brackets

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
    inner = [without_brackets(word) for word in words]
    found = _signs_of(
        [word if within is None else within for word, within in zip(words, inner, strict=True)], decimal
    )
    # Where all stand in brackets, these say nothing.
    is_negative = None in inner and any(within is not None for within in inner)
    return (*found, *(NEGATIVE if is_negative else ())) if found is not None else ()


def _signs_of(words: Sequence[str], decimal: str) -> tuple[str, ...] | None:
    """Return the signs, `None` where the words are no numbers of one kind."""
    words = [word for word in words if word]
    parts = [found for found in map(_PARTS.match, words) if found]
    if not words or len(parts) < _LEAST * len(words):
        return None
    befores = Counter(before for before, _, _ in (p.groups() for p in parts) if before.strip())
    afters = Counter(after.strip() for _, _, after in (p.groups() for p in parts) if after.strip())
    if befores.keys() - set(_CURRENCIES) or afters.keys() - {*_CURRENCIES, *_UNITS}:
        return None
    # Two units in one column are no measurement of one kind.
    if len(befores) > 1 or len(afters) > 1:
        return None
    numbers = [number.strip() for _, number, _ in (p.groups() for p in parts)]
    between = {character for number in numbers for character in number if character in GROUPING} - {decimal}
    return (*befores, *afters, *sorted(between))
