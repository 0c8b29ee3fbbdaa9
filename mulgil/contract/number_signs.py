"""Signs in the text of a number that are no part of it: $, %, a unit, what stands between thousands."""

from __future__ import annotations

import re
from collections.abc import Collection

# What stands between groups of three digits; beside these, a sign stands before a number or after it.
GROUPING = frozenset(",.'’ \u00a0\u202f")

_SIGNED = re.compile(r"^([-+]?)(.*)$", re.S)


def without_signs(text: str, signs: Collection[str], decimal: str = ".") -> str:
    """Return a number's text without the signs; where they are not where such signs stand, the text as it is.

    Args:
        text: As the source has it.
        signs: Those that are no part of the number.
        decimal: The sign before its fraction, which is not taken for one between groups.
    """
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


def _split_sign(text: str) -> tuple[str, str]:
    found = _SIGNED.match(text)
    assert found is not None
    return found[1], found[2].strip()
