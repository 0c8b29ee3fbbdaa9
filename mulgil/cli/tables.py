"""Tables whose every cell is whole, as kubectl's are: a name that is cut cannot be pasted."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len


def align(*rows: Sequence[str]) -> str:
    """Write rows under each other, however narrow the terminal.

    Args:
        rows: The header and the rows, with as many cells each.

    Returns:
        The lines; the terminal wraps those that are longer than it is wide.
    """
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "   ".join(cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)
