"""From the target's column to the task and what the dictionary says of the target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mulgil.contract.learning import Task
from mulgil.drafting.columns import count_rows, declare, identity, unread_remarks
from mulgil.drafting.draft import ColumnDraft
from mulgil.drafting.names import free_name, name_columns
from mulgil.drafting.profile import MISSING_WORDS, ColumnProfile, Kind
from mulgil.errors import InputError, describe

# Two in each of the three splits that a run makes by itself, and a judgement of the model needs two.
LEAST_ROWS_OF_A_CLASS = 10

# More different whole numbers are amounts, and so are more than a few of which some are rare; fewer are
# classes. Chosen by eye.
_GREATEST_CLASSES = 20
_FEW_CLASSES = 10

_BINARY = "binary_classification"
_MULTICLASS = "multiclass_classification"
_REGRESSION = "scalar_regression"

_MEANING = "TODO: what it means, and when it is known"


@dataclass(frozen=True)
class TargetDraft:
    """The target as it will be written.

    Attributes:
        task: The task.
        columns: One, or the source's column and the target that is derived from it.
    """

    task: str
    columns: tuple[ColumnDraft, ...]


def draft_target(name: str, profile: ColumnProfile, taken: set[str], task: str | None) -> TargetDraft:
    """Draft the target.

    Args:
        name: Its column's name in the dictionary.
        profile: Its column.
        taken: Names of other columns.
        task: What the user says that it is.

    Raises:
        InputError: The column is no target, or its task is not there.
    """
    chosen = task or _task_of(profile)
    _require(chosen, profile)
    if chosen == _BINARY:
        return TargetDraft(chosen, _draft_binary(name, profile, taken))
    keys = {**identity(name, profile), "role": "target", **_type_of(chosen, profile), "description": _MEANING}
    remarks = unread_remarks(profile)
    rare = rare_classes(profile) if chosen == _MULTICLASS else {}
    if rare:
        # Set aside, not refused: what is left can be learned.
        keys["categories"] = [word for word in keys["categories"] if word not in rare]
        keys["missing_codes"] = list(rare)
        remarks = (*remarks, f"TODO: too few rows to learn from, and set aside: {_shown(rare)}")
    return TargetDraft(chosen, (ColumnDraft(keys, remarks),))


def rare_classes(profile: ColumnProfile) -> dict[str, int]:
    """Return the classes that cannot be in every split, with their rows, where two others are left."""
    rare = {word: rows for word, rows in profile.values if rows < LEAST_ROWS_OF_A_CLASS}
    return rare if len(profile.values) - len(rare) >= 2 else {}


def _shown(classes: Mapping[str, int]) -> str:
    first = [f"{word!r} ({count_rows(rows)})" for word, rows in list(classes.items())[:5]]
    more = len(classes) - len(first)
    return ", ".join(first) + (f", and {more} more" if more else "")


def is_degree(profile: ColumnProfile) -> bool:
    """Whether a target is none, 0, or how much there is of something, in a few whole numbers."""
    is_whole = profile.kind is Kind.WHOLE and 2 < profile.distinct <= _GREATEST_CLASSES
    return is_whole and float(np.nanmin(profile.numbers)) == 0


def _task_of(profile: ColumnProfile) -> str:
    if profile.distinct == 2:
        return _BINARY
    if profile.kind is Kind.NUMBER or (profile.kind is Kind.WHOLE and _are_amounts(profile)):
        return _REGRESSION
    return _MULTICLASS


def _are_amounts(profile: ColumnProfile) -> bool:
    """Whether whole numbers are amounts: many, or of their own in most rows, or several that thin out."""
    thins_out = any(rows < LEAST_ROWS_OF_A_CLASS for _, rows in profile.values)
    return (
        profile.distinct > _GREATEST_CLASSES
        or profile.distinct > profile.present / 2
        or (profile.distinct > _FEW_CLASSES and thins_out)
    )


def _require(task: str, profile: ColumnProfile) -> None:
    shown = ", ".join(f"{word} ({count_rows(rows)})" for word, rows in profile.values[:5])
    more = f", and {profile.distinct - 5} more" if profile.distinct > 5 else ""
    received = f"{profile.name} with {profile.distinct} different values: {shown}{more}"
    if not profile.distinct:
        received = f"{profile.name}, in {count_rows(profile.rows)}"
    if profile.distinct < 2:
        same = "the same value in every row" if profile.distinct else "no value in any row"
        raise InputError(
            describe(
                f"There is nothing to learn: the target has {same}",
                expected="a column of at least two values",
                received=received,
                next_step="name another column: --target",
            )
        )
    if profile.kind in (Kind.TIME, Kind.OTHER) or (
        task == _MULTICLASS and profile.distinct > profile.present / 2
    ):
        raise InputError(
            describe(
                f"{profile.name} cannot be predicted as it is",
                expected="yes or no, classes that many rows have, or a number",
                received=received,
                next_step="name another column: --target",
            )
        )
    if task not in set(Task):
        raise InputError(
            describe(
                f"The task is not there in this version: {task}",
                expected=f"a target of one of these tasks: {', '.join(Task)}",
                received=received,
                next_step="make a column of two values in the table, such as whether it is above a limit, "
                "and name it: --target",
            )
        )
    if task == _BINARY and profile.distinct != 2 and not is_degree(profile):
        raise InputError(
            describe(
                f"{task} needs a target of two values", received=received, next_step="give another --task"
            )
        )
    if task == _REGRESSION and not len(profile.numbers):
        raise InputError(describe(f"{task} needs a target of numbers", received=received))


def _draft_binary(name: str, profile: ColumnProfile, taken: set[str]) -> tuple[ColumnDraft, ...]:
    remarks = unread_remarks(profile)
    if is_degree(profile):
        return _draft_presence(name, profile, taken)
    if declare(profile).keys["type"] == "boolean":
        keys = {**identity(name, profile), "role": "target", "type": "boolean", "description": _MEANING}
        return (ColumnDraft(keys, remarks),)
    # The rarer of the two is what one looks for, as a rule.
    (other, _), (word, rows) = profile.values[:2]
    # Of numbers that a float rounds, what is written tells two apart.
    is_number = profile.kind in (Kind.WHOLE, Kind.NUMBER) and not profile.is_beyond_whole
    if is_number:
        # As numbers, however the source writes them: 1,5 or $2.
        values, counts = np.unique(profile.finite, return_counts=True)
        rarer = int(counts.argmin())
        word, other, rows = f"{values[rarer]:.17g}", f"{values[1 - rarer]:.17g}", int(counts[rarer])
    kind = {Kind.WHOLE: "integer", Kind.NUMBER: "float"}[profile.kind] if is_number else "category"
    source = {
        **identity(name, profile),
        "role": "ignore",
        "type": kind,
        **({} if is_number else {"categories": [word, other]}),
        **({"number_signs": list(profile.number_signs)} if profile.number_signs else {}),
        "description": "What the target is derived from.",
    }
    literal = word if is_number else _literal(word)
    target = {
        "name": free_name(name_columns([f"{name} is {word}"])[f"{name} is {word}"], taken),
        "role": "target",
        "type": "boolean",
        "derived": f"{name} == {literal}",
        "description": f"Whether {profile.name} is {word}. {_MEANING}",
    }
    remark = f"TODO: is {word!r} ({rows} of {profile.present} rows) what is looked for, and not {other!r}?"
    return ColumnDraft(source, remarks), ColumnDraft(target, (remark,))


def _draft_presence(name: str, profile: ColumnProfile, taken: set[str]) -> tuple[ColumnDraft, ...]:
    """Draft whether there is any of what a target has degrees of."""
    source = {
        **identity(name, profile),
        "role": "ignore",
        "type": "integer",
        "description": "What the target is derived from.",
    }
    target = {
        "name": free_name(f"{name}_above_0", taken),
        "role": "target",
        "type": "boolean",
        "derived": f"{name} > 0",
        "description": f"Whether {profile.name} is above 0. {_MEANING}",
    }
    rows = int((profile.numbers > 0).sum())
    remark = f"TODO: is any {profile.name} above 0 ({rows} of {profile.present} rows) what is looked for?"
    return ColumnDraft(source, unread_remarks(profile)), ColumnDraft(target, (remark,))


def _literal(word: str) -> str:
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _type_of(task: str, profile: ColumnProfile) -> dict[str, Any]:
    if task == _MULTICLASS:
        return {"type": "category", "categories": [word for word, _ in profile.values]}
    declared = declare(profile).keys
    keys = {key: value for key, value in declared.items() if key in ("type", "range", "number_signs", "unit")}
    words = [word for word in profile.missing_words if word not in MISSING_WORDS]
    return {**keys, **({"missing_codes": words} if words else {})}
