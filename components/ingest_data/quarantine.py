"""The rows that were set aside, on disk and in words."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from components.ingest_data.rows import QuarantinedRow
from mulgil.artifacts import SUMMARY, QuarantineReason, QuarantineSummary, staged_directory, write_text

QUARANTINED_ROWS = "rows.jsonl"

_REASONS_SHOWN = 3


def write_quarantine(path: Path, rows: Sequence[QuarantinedRow]) -> None:
    """Write the quarantine's folder: a line a row, with `row_number`, `reason` and `cells`, and a summary.

    The reason hides sensitive values. The cells do not, so the folder is to be guarded as the source is.
    """
    lines = [
        json.dumps(
            {
                "row_number": row.row_number,
                "reason": "; ".join(map(str, row.mistakes)),
                "cells": row.cells,
            },
            ensure_ascii=False,
            default=str,
        )
        for row in rows
    ]
    with staged_directory(path) as staged:
        write_text(staged / QUARANTINED_ROWS, "".join(f"{line}\n" for line in lines))
        summarise_quarantine(rows).write(staged / SUMMARY)


def summarise_quarantine(rows: Sequence[QuarantinedRow]) -> QuarantineSummary:
    """Count the rows by what is wrong with them, with an example of what was received."""
    examples = {(m.column, m.expected): m.received for row in rows for m in row.mistakes}
    counts = Counter((m.column, m.expected) for row in rows for m in row.mistakes)
    return QuarantineSummary(
        reasons=tuple(
            QuarantineReason(
                column=column, expected=expected, received=examples[column, expected], rows=count
            )
            for (column, expected), count in counts.most_common()
        )
    )


def commonest_reasons(rows: Sequence[QuarantinedRow]) -> list[str]:
    """Say what was wrong most often, a line a reason, with an example of what was received."""
    return [
        f"{reason.rows} x {reason.column}: expected {reason.expected}, received such as {reason.received}"
        for reason in summarise_quarantine(rows).reasons[:_REASONS_SHOWN]
    ]
