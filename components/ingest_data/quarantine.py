"""The rows that were set aside, on disk and in words."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from components.ingest_data.rows import QuarantinedRow
from mulgil.artifacts import SUMMARY, QuarantineReason, QuarantineSummary, staged_directory

QUARANTINED_ROWS = "rows.jsonl"

_REASONS_SHOWN = 3


class Quarantine:
    """Writes rows that are set aside as they come, and counts them by what is wrong.

    A line a row, with `row_number`, `reason` and `cells`, and with `file` and `row_of_file` where several
    files were read; at the end a summary. The reason hides
    sensitive values. The cells do not, so the folder is to be guarded as the source is.

    Attributes:
        rows: How many there are.
        due: When the first of them that is from the future no longer is, if there is such.
    """

    def __init__(self, file: TextIO) -> None:
        self.rows = 0
        self.due: datetime | None = None
        self._file = file
        self._counts: Counter[tuple[str, str]] = Counter()
        self._examples: dict[tuple[str, str], str] = {}

    def add(self, rows: Sequence[QuarantinedRow], due: datetime | None = None) -> None:
        """Set rows aside.

        Args:
            rows: The rows.
            due: When the first of them that is from the future no longer is.
        """
        self._wait_for(due)
        for row in rows:
            self.rows += 1
            content: dict[str, Any] = {"row_number": row.row_number}
            if row.file is not None:
                content["file"] = row.file.location
                content["row_of_file"] = row.row_number - row.file.rows_before
            content |= {
                "reason": "; ".join(map(str, row.mistakes)),
                "cells": row.cells,
            }
            self._write(content)
            for mistake in row.mistakes:
                self._counts[mistake.column, mistake.expected] += 1
                self._examples[mistake.column, mistake.expected] = mistake.received

    def take_over(self, folder: Path, rows_before: int) -> None:
        """Set rows aside that were set aside in another quarantine.

        Args:
            folder: That quarantine.
            rows_before: How far on its rows stand here.
        """
        with (folder / QUARANTINED_ROWS).open(encoding="utf-8") as lines:
            for line in lines:
                self.rows += 1
                content = json.loads(line)
                content["row_number"] += rows_before
                self._write(content)
        summary = QuarantineSummary.read(folder / SUMMARY)
        self._wait_for(summary.due)
        for reason in summary.reasons:
            self._counts[reason.column, reason.expected] += reason.rows
            self._examples[reason.column, reason.expected] = reason.received

    def _wait_for(self, due: datetime | None) -> None:
        self.due = min((moment for moment in (self.due, due) if moment is not None), default=None)

    def _write(self, content: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(content, ensure_ascii=False, default=str) + "\n")

    def summarise(self) -> QuarantineSummary:
        """Count the rows by what is wrong with them, with an example of what was received."""
        return QuarantineSummary(
            reasons=tuple(
                QuarantineReason(
                    column=column, expected=expected, received=self._examples[column, expected], rows=count
                )
                for (column, expected), count in self._counts.most_common()
            ),
            due=self.due,
        )


@contextlib.contextmanager
def quarantine_at(path: Path) -> Iterator[Quarantine]:
    """Open a quarantine whose folder is there, whole, when the block ends without an error."""
    with staged_directory(path) as staged:
        # Halves of surrogate pairs, which a source can hold, cannot be written as they are.
        with (staged / QUARANTINED_ROWS).open("w", encoding="utf-8", errors="backslashreplace") as file:
            quarantine = Quarantine(file)
            yield quarantine
        quarantine.summarise().write(staged / SUMMARY)


def commonest_reasons(summary: QuarantineSummary) -> list[str]:
    """Say what was wrong most often, a line a reason, with an example of what was received."""
    return [
        f"{reason.rows} x {reason.column}: expected {reason.expected}, received such as {reason.received}"
        for reason in summary.reasons[:_REASONS_SHOWN]
    ]
