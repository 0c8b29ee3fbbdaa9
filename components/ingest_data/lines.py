"""How long a line of a text file may be."""

from __future__ import annotations

from mulgil.errors import InputError, describe

# A line of a table; more is another kind of file, and would fill the memory.
GREATEST_LINE = 1 << 24


def describe_endless(location: str, number: int | None = None) -> InputError:
    """Return the error that tells of a line that is too long.

    Args:
        location: What messages call the file.
        number: The line's, from 1, if it was counted.
    """
    return InputError(
        describe(
            f"Line {number} of {location} has no end" if number else f"A line of {location} has no end",
            expected=f"lines of at most {GREATEST_LINE:,} characters",
            next_step="see whether the file is text, whole and undamaged",
        )
    )
