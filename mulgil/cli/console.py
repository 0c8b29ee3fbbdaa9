"""The two streams that commands write to, and how a table is written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

# A line cut to the width of a pipe loses what the reader came for.
output = Console(highlight=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, soft_wrap=True)

_WIDE = 100_000


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table: folded to a terminal's width, whole lines where another program reads it."""
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(cell.replace("[", r"\[") for cell in row))
    if output.is_terminal:
        output.print(table, soft_wrap=False)
    else:
        pipe = Console(file=output.file, width=_WIDE, highlight=False)
        with pipe.capture() as captured:
            pipe.print(table)
        # Without the blanks that fill up the last column.
        output.out("\n".join(line.rstrip() for line in captured.get().splitlines()), highlight=False)
