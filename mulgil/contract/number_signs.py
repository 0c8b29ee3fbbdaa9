"""Signs in the text of a number that are no part of it: $, %, a unit, what stands between thousands.

Brackets around a number, `(1,234)`, are one too: accounts write so what is less than zero.
"""

from __future__ import annotations

import re
from collections.abc import Collection

# What stands between groups of three digits; beside these, a sign stands before a number or after it.
GROUPING = frozenset(",.'’ \u00a0\u202f")

# Around a number that is less than zero, as accounts are written.
NEGATIVE = ("(", ")")

_SIGNED = re.compile(r"^([-+]?)(.*)$", re.S)
# (5), ($5) and $(5).
_IN_BRACKETS = re.compile(r"^([^\d()]*)\(([^()]+)\)$")


def without_signs(text: str, signs: Collection[str], decimal: str = ".") -> str:
    """Return a number's text without the signs; where they are not where such signs stand, the text as it is.

    Args:
        text: As the source has it.
        signs: Those that are no part of the number.
        decimal: The sign before its fraction, which is not taken for one between groups.
    """
    inner = without_brackets(text)
    if inner is not None and {*NEGATIVE} <= {*signs}:
        positive = without_signs(inner, {*signs} - {*NEGATIVE}, decimal)
        return f"-{positive}" if positive[:1].isdigit() else text
    sign, number = _split_sign(text.strip())
    # The longest first: kWh before kW.
    for affix in sorted(set(signs) - GROUPING, key=len, reverse=True):
        if number.startswith(affix):
            number = number[len(affix) :].strip()
            break
    for affix in sorted(set(signs) - GROUPING, key=len, reverse=True):
        if number.endswith(affix):
            number = number[: -len(affix)].strip()
            break
    # -$5 and $-5 are both written.
    inner, number = _split_sign(number)
    if sign and inner:
        return text
    between = "".join(sorted((set(signs) & GROUPING) - {decimal}))
    if between and any(character in number for character in between):
        groups = re.compile(rf"^\d{{1,3}}([{re.escape(between)}]\d{{3}})+({re.escape(decimal)}\d*)?$")
        if not groups.match(number):
            return text
        number = re.sub(f"[{re.escape(between)}]", "", number)
    return f"{sign or inner}{number}"


def without_brackets(text: str) -> str | None:
    """Return a number's text without the brackets around it; `None` where there are none."""
    found = _IN_BRACKETS.match(text.strip())
    return found[1] + found[2] if found else None


def _split_sign(text: str) -> tuple[str, str]:
    found = _SIGNED.match(text)
    assert found is not None
    return found[1], found[2].strip()
