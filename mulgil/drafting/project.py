"""From the columns of a table to both files of a project."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mulgil.contract.learning import Task
from mulgil.contract.spans import has_spans
from mulgil.drafting.columns import draft_column, identity, is_repeated_key, words_alike
from mulgil.drafting.draft import ColumnDraft, ProjectDraft
from mulgil.drafting.names import free_name, name_columns, names_a_key
from mulgil.drafting.profile import MISSING_WORDS, ColumnProfile, Kind
from mulgil.drafting.ranges import find_far_values
from mulgil.drafting.repetitions import Repetitions, find_repetitions
from mulgil.drafting.target import LEAST_ROWS_OF_A_CLASS, draft_target, is_degree, rare_classes
from mulgil.errors import InputError, describe

_LOOKS_LIKE_WHEN = re.compile(r"event|time|date|when|_at$|_on$", re.I)


# Of a number to predict; fewer tell nothing in a split of a fifth. Chosen by eye.
_LEAST_ROWS = 20

# More than a person reads in a line.
_CODES_SHOWN = 10

# Fewer are not surely in every split; chosen by eye.
_LEAST_ENTITIES = 50


@dataclass(frozen=True)
class Wishes:
    """What the user says.

    Attributes:
        target: The column to predict, by its name in the source.
        entity: The column that says what a row is about.
        event_timestamp: The column that says when a row became true.
        task: The task.
    """

    target: str
    entity: str | None = None
    event_timestamp: str | None = None
    task: str | None = None


def draft_project(
    name: str,
    source: Mapping[str, Any],
    profiles: Sequence[ColumnProfile],
    wishes: Wishes,
    collected_at: str,
    lines_of_utf8: int = 0,
) -> ProjectDraft:
    """Draft a project.

    Args:
        name: The project's.
        source: Its `source` section, as far as the file told it.
        profiles: The columns, in the order of the source.
        wishes: What the user says.
        collected_at: A time in ISO 8601 for every row, where no column tells one, or `span`.
        lines_of_utf8: How many lines are UTF-8 in a file that is read as another encoding.

    Raises:
        InputError: A column that was named is not there, or cannot be what it was named for.
    """
    by_name = {profile.name: profile for profile in profiles}
    for option, wanted in vars(wishes).items():
        if option != "task" and wanted is not None:
            _require_column(option, wanted, by_name)
    names = name_columns(by_name)
    target = by_name[wishes.target]
    entity = by_name[wishes.entity] if wishes.entity else _find_entity(profiles, wishes)
    moment = by_name[wishes.event_timestamp] if wishes.event_timestamp else _find_moment(profiles, wishes)
    targets = draft_target(names[target.name], target, set(names.values()), wishes.task)
    is_csv = source["kind"] == "csv"
    columns: list[ColumnDraft] = []
    for profile in profiles:
        column = names[profile.name]
        if profile is target:
            columns.append(targets.columns[0])
        elif profile is entity:
            columns.append(_draft_entity(column, profile))
        elif profile is moment:
            columns.append(_draft_moment(column, profile))
        else:
            columns.append(draft_column(column, profile, target, is_csv=is_csv))
    columns += targets.columns[1:]
    columns += _made_by_ingestion({column.name for column in columns}, entity, moment, collected_at)
    if all(column.role != "feature" for column in columns):
        raise _nothing_to_learn_from(columns)
    repeated = find_repetitions(profiles)
    # Copies that come in two spans, or with one key, are no other things, and a run refuses to keep them.
    may_keep = entity is None and not has_spans(str(source.get("location", "")))
    keeps_repeated = may_keep and repeated.rows > 0 and repeated.are_as_chance_makes
    of_repeated = _decide_repeated(repeated, may_keep=may_keep)
    written = _with_missing_words(source, profiles) if is_csv else source
    return ProjectDraft(
        name=name,
        task=targets.task,
        source={**written, "repeated_rows": "keep"} if keeps_repeated else written,
        columns=tuple(columns),
        source_remarks=tuple(f"TODO: {remark}" for remark in of_repeated),
        split=_split(entity),
        decisions=(
            *_decide_source(source, lines_of_utf8),
            *_decide(entity, moment, target, targets.task),
            *of_repeated,
            *_decide_keys(profiles, {wishes.target, wishes.entity}),
            *_decide_codes(columns),
        ),
    )


def _nothing_to_learn_from(columns: Sequence[ColumnDraft]) -> InputError:
    ignored = [column for column in columns if column.role == "ignore"]
    return InputError(
        describe(
            "No column is left to learn from",
            expected="at least one that is neither key nor target nor ignored",
            received="; ".join(f"{c.name}: {c.keys['description']}" for c in ignored)
            or "no other column than the target and keys",
            next_step="bring a column of numbers or of few codes; make one of a text or a time, "
            "such as its length, a word that it has, or its month",
        )
    )


def _require_column(option: str, wanted: str, by_name: Mapping[str, ColumnProfile]) -> None:
    if wanted in by_name:
        return
    near = difflib.get_close_matches(wanted, by_name, n=1)
    shown = list(by_name)[:20]
    more = f", and {len(by_name) - len(shown)} more" if len(by_name) > len(shown) else ""
    raise InputError(
        describe(
            f"The table has no column {wanted}",
            expected="one of " + ", ".join(shown) + more,
            received=f"--{option.replace('_', '-')} {wanted}",
            next_step=f"did you mean {near[0]}?" if near else "",
        )
    )


def _find_entity(profiles: Sequence[ColumnProfile], wishes: Wishes) -> ColumnProfile | None:
    """Return the one column that tells every row from the others by its name and its values."""
    for profile in profiles:
        is_named = profile.name in (wishes.target, wishes.event_timestamp)
        is_key = profile.kind in (Kind.WHOLE, Kind.TEXT) and profile.distinct == profile.rows
        is_key = is_key and (profile.has_all_digits or not profile.is_beyond_whole)
        if not is_named and is_key and not profile.unread and names_a_key(profile.name):
            return profile
    return None


def _find_moment(profiles: Sequence[ColumnProfile], wishes: Wishes) -> ColumnProfile | None:
    """Return the column of times that every row has; of several, the one that is named so."""
    found = [
        profile
        for profile in profiles
        if profile.kind is Kind.TIME
        and not profile.missing
        and not profile.unread
        and profile.name not in (wishes.target, wishes.entity)
    ]
    named = [profile for profile in found if _LOOKS_LIKE_WHEN.search(profile.name)]
    return next(iter([*named, *found]), None)


def _draft_entity(name: str, profile: ColumnProfile) -> ColumnDraft:
    is_whole = profile.kind is Kind.WHOLE and not profile.unread and not profile.is_beyond_whole
    if profile.is_beyond_whole and not profile.has_all_digits:
        raise InputError(
            describe(
                f"{profile.name} has whole numbers beyond 2^53, which a model does not tell apart",
                expected="smaller ones, or text",
                received=f"--entity {profile.name}, with values such as {profile.values[0][0]}",
                next_step=f"write it as text in the source: CAST({profile.name} AS text) in a query",
            )
        )
    if profile.kind is Kind.NUMBER or (
        not profile.has_all_digits and profile.kind is not Kind.TEXT and not is_whole
    ):
        raise InputError(
            describe(
                f"{profile.name} cannot say what a row is about",
                expected="whole numbers or text",
                received=f"--entity {profile.name}, of {profile.kind} values",
            )
        )
    keys = {
        **identity(name, profile),
        "role": "entity",
        "type": "integer" if is_whole else "text",
        "description": "TODO: whom or what a row is about",
    }
    return ColumnDraft(keys)


def _draft_moment(name: str, profile: ColumnProfile) -> ColumnDraft:
    if profile.kind is not Kind.TIME:
        raise InputError(
            describe(
                f"{profile.name} cannot say when a row became true",
                expected="times, such as 2024-01-31 or 2024-01-31T09:30:00+02:00",
                received=f"--event-timestamp {profile.name}, with values such as "
                + ", ".join(word for word, _ in profile.values[:3]),
            )
        )
    keys = {**identity(name, profile), "role": "event_timestamp", "type": "timestamp"}
    if profile.time_format:
        keys["time_format"] = profile.time_format
    keys["description"] = "TODO: when a row became true"
    remark = ("TODO: day or month first? Every value can be read either way",)
    return ColumnDraft(keys, remark if profile.is_time_ambiguous else ())


def _made_by_ingestion(
    taken: set[str], entity: ColumnProfile | None, moment: ColumnProfile | None, collected_at: str
) -> list[ColumnDraft]:
    made = []
    if entity is None:
        name = free_name("row_number", taken)
        made.append(
            ColumnDraft(
                {
                    "name": name,
                    "role": "entity",
                    "type": "integer",
                    "generated": "row_number",
                    "description": "The row's place in the source, which carries no identifier of its own.",
                },
                ("TODO: is there a column that says whom or what a row is about?",),
            )
        )
    if moment is None:
        name = free_name("collected_at", taken)
        made.append(
            ColumnDraft(
                {
                    "name": name,
                    "role": "event_timestamp",
                    "type": "timestamp",
                    "generated": collected_at,
                    "description": "The date of the span that a row came in."
                    if collected_at == "span"
                    else "When the table was written; it gives no time for a row.",
                },
                ("TODO: when did the rows become true?",),
            )
        )
    return made


def _with_missing_words(source: Mapping[str, Any], profiles: Sequence[ColumnProfile]) -> dict[str, Any]:
    words = sorted({word for profile in profiles for word in profile.missing_words if word in MISSING_WORDS})
    return {**source, "missing_values": ["", *words]} if words else dict(source)


def _split(entity: ColumnProfile | None) -> dict[str, str]:
    """Keep the rows of one entity together, where there are enough to divide."""
    has_several = entity is not None and _LEAST_ENTITIES <= entity.distinct < entity.present
    return {"kind": "group"} if has_several else {}


def _decide_classes(target: ColumnProfile, task: str) -> list[str]:
    rare = rare_classes(target) if task == Task.MULTICLASS_CLASSIFICATION else {}
    if rare:
        rows = sum(rare.values())
        return [
            f"classes of {target.name} with fewer than {LEAST_ROWS_OF_A_CLASS} rows are set aside "
            f"({len(rare)}, {rows} rows in all); join them to others in the source, or bring more rows"
        ]
    few = [f"{word} ({rows})" for word, rows in target.values if rows < LEAST_ROWS_OF_A_CLASS]
    if few and not is_degree(target):
        return [
            f"too few rows to train, to validate and to test on: {', '.join(few[:5])}; a run may refuse it. "
            f"Bring at least {LEAST_ROWS_OF_A_CLASS} of each class"
        ]
    return []


def _decide_source(source: Mapping[str, Any], lines_of_utf8: int) -> tuple[str, ...]:
    if "encoding" not in source or str(source["encoding"]).startswith("utf"):
        return ()
    encoding = source["encoding"]
    read = f"the file is read as {encoding}, by its letters; see whether names and words are right"
    if not lines_of_utf8:
        return (read,)
    lines = "1 line is" if lines_of_utf8 == 1 else f"{lines_of_utf8} lines are"
    return (
        read,
        f"the file has two encodings: {lines} UTF-8, and garbled when read as {encoding}; write all of it in "
        "one, or words will be taken for others",
    )


def _decide_repeated(repeated: Repetitions, *, may_keep: bool) -> tuple[str, ...]:
    if not repeated.rows:
        return ()
    alike = f"{_rows_are(repeated.rows)} like an earlier one in every column"
    by_chance = f"where chance makes about {repeated.expected:.0f} if no column has to do with another"
    if may_keep and repeated.are_as_chance_makes:
        return (f"{alike}, {by_chance}. Kept; if those are copies: `source: {{repeated_rows: drop}}`",)
    to_do = (
        "`source: {repeated_rows: keep}`"
        if may_keep
        else "tell them apart in the source, by a key or a time of their own"
    )
    if repeated.are_told_apart:
        return (f"{alike}, and dropped as copies; if those are other things: {to_do}",)
    return (
        f"{alike}, {by_chance}, and more where columns go together, as answers do: copies, or others that "
        f"happen to be alike? Dropped, since copies would be in training and test alike; if others: {to_do}",
    )


def _rows_are(count: int) -> str:
    return "1 row is" if count == 1 else f"{count} rows are"


def _decide_keys(profiles: Sequence[ColumnProfile], chosen: set[str | None]) -> tuple[str, ...]:
    """Ask about keys by which rows belong together, where there are enough of them to divide."""
    return tuple(
        f"rows share {profile.name} ({profile.distinct} different in {profile.present} rows), so that rows "
        f"of one may be in several splits, and what is measured too good; if a row is "
        f"about its {profile.name}: --entity {shlex.quote(profile.name)}"
        for profile in profiles
        if profile.name not in chosen and is_repeated_key(profile) and profile.distinct >= _LEAST_ENTITIES
    )


def _decide_codes(columns: Sequence[ColumnDraft]) -> tuple[str, ...]:
    """Tell which values are taken for missing ones; where they are none, a model would learn it wrong."""
    found = [
        ", ".join(map(str, column.keys["missing_codes"]))
        + f" in {column.keys.get('source_name', column.name)}"
        for column in columns
        if column.role == "feature" and "missing_codes" in column.keys
    ]
    more = f"; and {len(found) - _CODES_SHOWN} more" if len(found) > _CODES_SHOWN else ""
    shown = "; ".join(found[:_CODES_SHOWN])
    return (
        (f"taken for missing values: {shown}{more}; remove `missing_codes` where they are none",)
        if found
        else ()
    )


def _decide(
    entity: ColumnProfile | None, moment: ColumnProfile | None, target: ColumnProfile, task: str
) -> tuple[str, ...]:
    decisions = []
    if task == Task.MULTICLASS_CLASSIFICATION and target.kind is Kind.WHOLE:
        rarest, rows = target.values[-1]
        is_any = "if all that matters is whether it is above 0: --task binary_classification; "
        decisions.append(
            f"{target.name} is learned as {target.distinct} classes, of which {rarest} has {rows} rows; "
            f"{is_any if is_degree(target) else ''}if its numbers are more or less of something: "
            "--task scalar_regression"
        )
    if task in (Task.BINARY_CLASSIFICATION, Task.MULTICLASS_CLASSIFICATION) and (
        alike := words_alike(target)
    ):
        decisions.append(
            f"classes of {target.name} that differ in case alone are learned as different ones: "
            f"{'; '.join(alike[:3])}. Write them alike in the source"
        )
    if moment is not None and not _split(entity):
        decisions.append(
            f"rows are divided by chance; if later ones, by {moment.name}, are to be predicted from those "
            "before: `split: {kind: time}`"
        )
    if entity is not None:
        keys = entity.codes if moment is None else entity.codes * (moment.codes.max() + 2) + moment.codes + 1
        repeated = len(keys) - len(np.unique(keys))
        if repeated:
            where = f" at one {moment.name}" if moment is not None else ""
            decisions.append(
                f"{repeated} rows repeat the {entity.name} of another{where}. A run refuses that, unless "
                "they are equal in every column: name a column of times (--event-timestamp), "
                "or leave --entity out"
            )
        if not _split(entity) and entity.distinct < entity.present:
            decisions.append(
                f"rows of one {entity.name} are in several splits, so what is measured may be too good; "
                "`split: {kind: group}` keeps them together, where there are more of them"
            )
    if task in (Task.BINARY_CLASSIFICATION, Task.MULTICLASS_CLASSIFICATION):
        decisions += _decide_classes(target, task)
    elif far := find_far_values(target.finite):
        decisions.append(
            f"{target.name} has values far from all that is usual, such as {far[-1]:g}. One such row "
            "outweighs all others in what is learned and measured; correct or drop it in the source if it is "
            "a mistake"
        )
    elif target.present < _LEAST_ROWS:
        decisions.append(f"{target.present} rows are too few to learn from and to judge by; bring more")
    if target.missing:
        have = "1 row has" if target.missing == 1 else f"{target.missing} rows have"
        decisions.append(f"{have} no {target.name} and will be set aside")
    return tuple(decisions)
