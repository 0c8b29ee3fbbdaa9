"""Names that a dictionary can have, made of those that a source has."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable

from anyascii import anyascii

# Of a column's name in the contract, and room for a number that tells two apart.
_LONGEST = 63 - 5
_LONGEST_PROJECT = 40

_KEY = re.compile(r"(^|[_\s.-])(id|uuid|guid|key)$|^unnamed|^id[_\s.-]", re.I)
_CAMEL_KEY = re.compile(r"[a-z](I[dD]|Key|UUID)$")


def names_a_key(header: str) -> bool:
    """Whether a column is called as those are that tell rows or things apart: customer_id, PassengerId."""
    return bool(_KEY.search(header) or _CAMEL_KEY.search(header))


def name_columns(headers: Iterable[str]) -> dict[str, str]:
    """Return a name for each header: letters, digits and single underscores, no two alike in any case."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for place, header in enumerate(headers, start=1):
        name = free_name(_words(header, "_")[:_LONGEST].strip("_") or f"column_{place}", taken)
        names[header] = name
        taken.add(name.lower())
    return names


def free_name(name: str, taken: Iterable[str]) -> str:
    """Return a name that is not among those that are taken, whatever their case, and no word of Python's."""
    if not name[0].isalpha():
        name = f"column_{name}"
    if keyword.iskeyword(name) or name == "self":
        name = f"{name}_value"
    folded = {other.lower() for other in taken}
    numbered = (f"{name}_{number}" for number in range(2, len(folded) + 3))
    return name if name.lower() not in folded else next(n for n in numbered if n.lower() not in folded)


def name_project(text: str) -> str:
    """Return a name for the project, and so for the model's endpoint."""
    name = _words(text, "-").lower()[:_LONGEST_PROJECT].strip("-")
    return name if name[:1].isalpha() else f"model-{name}".strip("-")


def _words(text: str, joint: str) -> str:
    # Letters of other scripts by their sound: 나이 is read NaI.
    return re.sub(r"[^A-Za-z0-9]+", joint, anyascii(text)).strip(joint)
