"""A draft as the text of its two files, for a person to read and go on with."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from mulgil.drafting.draft import ColumnDraft, ProjectDraft

# Text that YAML reads as text without quotes, and no number, truth or nothing.
_PLAIN = re.compile(r"^[A-Za-z/][A-Za-z0-9 _./()>=+-]*$")
_UNSHOWN = re.compile(r"[\x7f-\xa0\u2028\u2029\ufeff]")
_RESERVED = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}


def render_project(draft: ProjectDraft) -> str:
    """Write `project.yaml`."""
    lines = [
        "# Drafted from the table by `mulgil init`. Each TODO is what only a person can say.",
        f"name: {_scalar(draft.name)}",
        "problem:",
        '  goal: "TODO: what the prediction is for"',
        '  success_measure: "TODO: how anyone will know that it worked"',
        f"task: {_scalar(draft.task)}",
        "source:",
        *_comments(draft.source_remarks),
        *_section(draft.source),
    ]
    for section, values in (("split", draft.split), ("training", draft.training)):
        if values:
            lines += [f"{section}:", *_section(values)]
    lines += ["# gates: {floors: {metric: value}} refuses a model that is worse than you can use."]
    return "\n".join([*lines, ""])


def render_dictionary(draft: ProjectDraft) -> str:
    """Write `data_dictionary.yaml`."""
    lines = [
        "# Drafted from the table by `mulgil init`. Each TODO is what only a person can say.",
        "columns:",
    ]
    for column in draft.columns:
        lines += _column(column)
    return "\n".join([*lines, ""])


def _column(column: ColumnDraft) -> list[str]:
    first, *rest = column.keys.items()
    return [*_comments(column.remarks), f"  - {_entry(*first)}", *(f"    {_entry(*pair)}" for pair in rest)]


def _comments(remarks: Sequence[str]) -> list[str]:
    # A comment ends with its line, and a column's name may have any sign in it.
    return [f"  # {' '.join(remark.split())}" for remark in remarks]


def _section(values: Mapping[str, Any]) -> list[str]:
    return [f"  {_entry(key, value)}" for key, value in values.items()]


def _entry(key: str, value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{key}: {{{', '.join(_entry(*pair) for pair in value.items())}}}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"{key}: [{', '.join(map(_scalar, value))}]"
    return f"{key}: {_scalar(value)}"


def _escape(sign: re.Match[str]) -> str:
    return json.dumps(sign[0])[1:-1]


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        is_plain = _PLAIN.match(value) and value == value.strip() and value.lower() not in _RESERVED
        # What JSON writes, YAML reads, but for signs that it takes for the end of a line.
        return value if is_plain else _UNSHOWN.sub(_escape, json.dumps(value, ensure_ascii=False))
    return json.dumps(value)
