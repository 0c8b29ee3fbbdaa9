"""A drafted project: what will be written, and what only a person can decide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ColumnDraft:
    """One column of the dictionary.

    Attributes:
        keys: What stands in the file, in its order.
        remarks: What a person should look at, written above it.
    """

    keys: Mapping[str, Any]
    remarks: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The column's name in the dictionary."""
        return str(self.keys["name"])

    @property
    def role(self) -> str:
        """What it is for."""
        return str(self.keys.get("role", "feature"))


@dataclass(frozen=True)
class ProjectDraft:
    """Both files of a project.

    Attributes:
        name: The project's.
        task: Its task.
        source: The `source` section.
        split: The `split` section; empty keeps what is usual.
        training: The `training` section; empty keeps what is usual.
        columns: Of the dictionary, in the order of the source, then those that ingestion makes.
        source_remarks: What a person should look at in the `source` section.
        decisions: What a run may not go through without, or may go wrong by; for the one who drafts.
    """

    name: str
    task: str
    source: Mapping[str, Any]
    columns: tuple[ColumnDraft, ...]
    source_remarks: tuple[str, ...] = ()
    split: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    decisions: tuple[str, ...] = ()
