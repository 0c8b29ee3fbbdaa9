"""From what a column looks like to what the dictionary says of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mulgil.contract.number_signs import GROUPING, NEGATIVE
from mulgil.drafting.draft import ColumnDraft
from mulgil.drafting.names import names_a_key
from mulgil.drafting.profile import (
    MISSING_WORDS,
    MISSING_WORDS_AMONG_NUMBERS,
    ColumnProfile,
    Kind,
)
from mulgil.drafting.ranges import (
    find_doubtful_codes,
    find_far_values,
    find_missing_codes,
    has_impossible_zero,
    propose_range,
)

# A code a column: one input of the model each. Beyond it most are too rare to learn from; chosen by eye.
GREATEST_CATEGORIES = 100

# From here on a text's values are sentences, and a column's values are nearly all its own. Chosen by eye.
_SENTENCE = 60
_NEARLY_ALL = 0.9

# Fewer whole numbers than this may be codes, which only a person can tell.
_FEW = 10

_MEANING = "TODO: what it means"
_LOOKS_LIKE_A_KEY = re.compile(r"(^|[_\s.-])(ids|index|idx|no|nr|number|code)$|^$", re.I)
# So many different keys of several rows each are not codes of a few kinds of things. Chosen by eye.
_LEAST_KEYS = 50

_PERSONAL = re.compile(
    r"e.?mail|phone|mobile|ssn|passport|surname|last.?name|first.?name|street|address", re.I
)


@dataclass(frozen=True)
class Declaration:
    """What a column holds, as keys of the dictionary, with what a person should look at.

    Attributes:
        keys: Type and domain.
        remarks: For the reader of the file.
    """

    keys: Mapping[str, Any]
    remarks: tuple[str, ...] = ()


def draft_column(name: str, profile: ColumnProfile, target: ColumnProfile, *, is_csv: bool) -> ColumnDraft:
    """Draft a column that is neither target nor key.

    Args:
        name: In the dictionary.
        profile: The column.
        target: The target's column.
        is_csv: Whether words for missing can be said for the whole file.
    """
    reason = why_ignored(profile, target)
    if reason is not None:
        return ignored_column(name, profile, reason)
    declaration = _declare_codes(profile) if is_repeated_key(profile) else declare(profile)
    keys = {**identity(name, profile), **declaration.keys, "description": _MEANING}
    if _PERSONAL.search(profile.name):
        keys["sensitive"] = True
    missing = profile.missing
    codes = keys.get("missing_codes", [])
    missing += sum(int((profile.numbers == float(code)).sum()) for code in codes if _is_number(code))
    # A word that only stands for missing among numbers may be a value of another column.
    words = [word for word in profile.missing_words if not is_csv or word not in MISSING_WORDS]
    if words:
        keys["missing_codes"] = [*words, *codes]
    among = [repr(word) for word in profile.missing_words if word not in MISSING_WORDS_AMONG_NUMBERS]
    taken = (f"TODO: {', '.join(among)} among its numbers is taken for a missing value",) if among else ()
    remarks = (*declaration.remarks, *taken)
    if missing:
        keys["missing"] = _policy(str(keys["type"]))
        remarks = (*remarks, f"without a value in {_percent(missing, profile.rows)} of the rows")
    return ColumnDraft(keys, (*remarks, *unread_remarks(profile)))


def ignored_column(name: str, profile: ColumnProfile, reason: str) -> ColumnDraft:
    """Draft a column that is dropped, with the reason."""
    keys = {**identity(name, profile), "role": "ignore", "type": "text", "description": f"Ignored: {reason}."}
    return ColumnDraft(keys)


def identity(name: str, profile: ColumnProfile) -> dict[str, Any]:
    """Return the keys that say which column of the source it is."""
    return {"name": name, **({"source_name": profile.name} if profile.name != name else {})}


def declare(profile: ColumnProfile) -> Declaration:
    """Say a column's type and domain."""
    if profile.kind is Kind.TRUTH or _is_zero_or_one(profile):
        return Declaration({"type": "boolean"})
    if profile.kind is Kind.TIME:
        form = {"time_format": profile.time_format} if profile.time_format else {}
        remark = "TODO: day or month first? Every value can be read either way"
        return Declaration({"type": "timestamp", **form}, (remark,) if profile.is_time_ambiguous else ())
    if profile.kind is Kind.TEXT:
        remarks = tuple(f"TODO: written in several ways: {alike}" for alike in words_alike(profile))
        return Declaration({"type": "category", "categories": [w for w, _ in profile.values]}, remarks)
    return _declare_number(profile)


def _declare_number(profile: ColumnProfile) -> Declaration:
    values = profile.finite
    is_whole = profile.kind is Kind.WHOLE and not profile.is_beyond_whole
    keys: dict[str, Any] = {"type": "integer" if is_whole else "float"}
    remarks = []
    if profile.is_beyond_whole:
        remarks.append(
            "TODO: a float rounds whole numbers beyond 2^53, and takes several for one; if they tell rows or "
            "things apart: role: ignore, type: text"
        )
    codes = list(find_missing_codes(values))
    for code in codes:
        rows = int((values == code).sum())
        remarks.append(f"TODO: {code:g} ({count_rows(rows)}) is taken for a missing value")
    doubtful = find_doubtful_codes(values)
    if doubtful:
        shown = ", ".join(f"{code:g} ({count_rows(int((values == code).sum()))})" for code in doubtful)
        others = values[~np.isin(values, [*codes, *doubtful])]
        remarks.append(
            f"TODO: {shown}, below 0 as no other of {count_rows(len(others))} is, is kept as a value; if it "
            f"stands for missing: missing_codes: [{', '.join(f'{code:g}' for code in (*codes, *doubtful))}]"
        )
    values = values[~np.isin(values, codes)]
    if has_impossible_zero(values):
        rows = int((values == 0).sum())
        remarks.append(
            f"TODO: zero ({count_rows(rows)}) is far below all others and taken for a missing value"
        )
        codes.append(0.0)
        values = values[values != 0]
    for far in find_far_values(values):
        remarks.append(f"TODO: {far:g} is far from all that is usual; is it a measurement?")
        # One such number would shrink all others to nothing.
        keys["outliers"] = "clip"
    low, high = propose_range(values, is_whole=is_whole)
    keys["range"] = [int(low), int(high)] if is_whole else [low, high]
    if codes:
        keys["missing_codes"] = [int(code) for code in codes]
    if profile.number_signs:
        keys["number_signs"] = list(profile.number_signs)
    units = [sign for sign in profile.number_signs if sign not in {*GROUPING, *NEGATIVE}]
    if units:
        return Declaration({**keys, "unit": units[0]}, tuple(remarks))
    distinct = np.unique(values)
    if is_whole and 2 < len(distinct) <= _FEW:
        shown = ", ".join(f"{value:g}" for value in distinct)
        remarks.append(f"TODO: if {shown} are codes without an order: type: category, categories: [{shown}]")
    else:
        remarks.append("TODO: unit")
    return Declaration(keys, tuple(remarks))


def _declare_codes(profile: ColumnProfile) -> Declaration:
    """Say of a key's few values that they are codes, which no number is more or less of."""
    codes = [word for word, _ in profile.values]
    return Declaration({"type": "category", "categories": codes}, ("TODO: taken for codes, by its name",))


def is_repeated_key(profile: ColumnProfile) -> bool:
    """Whether a column tells by its name and its values whom or what several rows are about."""
    is_key = profile.kind in (Kind.WHOLE, Kind.TEXT) and names_a_key(profile.name)
    return is_key and 2 < profile.distinct <= profile.present / 2


def why_ignored(profile: ColumnProfile, target: ColumnProfile) -> str | None:
    """Return why a column cannot be a feature, if it cannot."""
    present = profile.present
    if profile.kind is Kind.OTHER:
        return "its values are neither numbers, words nor times"
    if not present:
        return "it has no value in any row"
    if profile.distinct < 2:
        return (
            f"it is {profile.values[0][0]!r} in every row that has a value"
            if profile.values and not _PERSONAL.search(profile.name)
            else "it is constant"
        )
    if profile.kind is Kind.TIME:
        return (
            "a time is no feature as it is; with type timestamp and role input, another column derives of it "
            "what matters, such as its month or the days from it to the event"
        )
    is_unique = profile.distinct > _NEARLY_ALL * present and present > 20
    is_discrete = profile.kind in (Kind.WHOLE, Kind.TEXT)
    is_named = names_a_key(profile.name) or _LOOKS_LIKE_A_KEY.search(profile.name)
    if is_unique and is_discrete and (is_named or profile.is_sequential):
        return f"an identifier: {profile.distinct} different values in {count_rows(present)}"
    if is_repeated_key(profile) and profile.distinct >= _LEAST_KEYS:
        return f"a key that rows share: {profile.distinct} different values in {count_rows(present)}"
    if profile.kind is Kind.TEXT:
        if profile.mean_length > _SENTENCE:
            return f"free text, {profile.mean_length:.0f} characters in the mean"
        if is_unique:
            return f"nearly every row has its own value: {profile.distinct} in {count_rows(present)}"
        if profile.distinct > GREATEST_CATEGORIES:
            return f"too many codes: {profile.distinct}; group them into at most {GREATEST_CATEGORIES}"
    if _gives_away(profile, target):
        return "it tells the target alone, on every row; keep it only if it is known before"
    return None


def _gives_away(profile: ColumnProfile, target: ColumnProfile) -> bool:
    """Whether the target follows from the column on every row, by more than chance."""
    is_known = (profile.codes >= 0) & (target.codes >= 0)
    codes, answers = profile.codes[is_known], target.codes[is_known]
    answers_there = np.flatnonzero(np.bincount(answers)) if len(answers) else answers
    # A column with a value of its own for nearly every row would say so of any target.
    if len(codes) < 20 or target.distinct > 20 or len(answers_there) < 2:
        return False
    if profile.distinct <= len(codes) / 10:
        kinds = int(answers.max()) + 1
        rows = np.bincount(codes * kinds + answers, minlength=kinds * (int(codes.max()) + 1))
        return bool(((rows.reshape(-1, kinds) > 0).sum(axis=1) <= 1).all())
    if not len(profile.numbers) or len(answers_there) != 2:
        return False
    values = profile.numbers[is_known]
    one, other = (values[answers == answer] for answer in answers_there)
    return bool(one.max() < other.min() or other.max() < one.min())


def words_alike(profile: ColumnProfile) -> tuple[str, ...]:
    """Return the words that differ from others in case alone, together."""
    alike: dict[str, list[str]] = {}
    for word, _ in profile.values if profile.kind is Kind.TEXT else ():
        alike.setdefault(word.casefold(), []).append(repr(word))
    return tuple(", ".join(words) for words in alike.values() if len(words) > 1)


def unread_remarks(profile: ColumnProfile) -> tuple[str, ...]:
    """Say which rows will be set aside."""
    if not profile.unread:
        return ()
    rows = sum(count for _, count in profile.unread)
    shown = ", ".join(repr(word)[:40] for word, _ in profile.unread[:3])
    return (f"TODO: {count_rows(rows)} with another kind of value, such as {shown}, will be set aside",)


def _is_zero_or_one(profile: ColumnProfile) -> bool:
    return profile.kind is Kind.WHOLE and set(np.unique(profile.finite)) == {0.0, 1.0}


def _policy(kind: str) -> str:
    return {"category": "new_category", "boolean": "most_frequent"}.get(kind, "median")


def _is_number(code: Any) -> bool:
    return isinstance(code, int | float)


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.3g} %"


def count_rows(count: int) -> str:
    """Say how many rows."""
    return "1 row" if count == 1 else f"{count} rows"
