"""The exception tree, and the exit code that each branch stands for.

A message says what is wrong, what was expected, what was received and what to do next; see
`describe`, which puts the four in one shape.
"""

from __future__ import annotations


class MulgilError(Exception):
    """Base of every error that Mulgil raises on purpose."""

    exit_code = 4


class InputError(MulgilError):
    """The user's files, flags or data are wrong; running again without a change will fail again."""

    exit_code = 2


class ContractError(InputError):
    """A project file or a data dictionary is wrong."""


class GateRejectedError(MulgilError):
    """A gate judged the data or the model and said no; its verdict holds the numbers."""

    exit_code = 3


class PermanentError(MulgilError):
    """Something cannot work here, and retrying will not help."""

    exit_code = 4


class NotReconciledError(MulgilError):
    """What a step is to bring about does not stand, or nobody can tell without running the step."""


class UnsupportedPipelineError(PermanentError):
    """A compiled pipeline uses a feature of the IR that this runner does not implement."""


class TemporaryError(MulgilError):
    """Something did not answer or was not ready; a retry is sensible."""

    # EX_TEMPFAIL of sysexits.h.
    exit_code = 75


def describe(wrong: str, *, expected: str = "", received: str = "", next_step: str = "") -> str:
    """Write an error's message in the house shape.

    Args:
        wrong: What is wrong, a clause without a full stop.
        expected: What would have been right.
        received: What came instead; written as `name=value` where there is a name.
        next_step: What the reader can do now.

    Returns:
        The message, one fact a line.
    """
    lines = [wrong.rstrip(".") + "."]
    if expected:
        lines.append(f"  Expected: {expected}")
    if received:
        lines.append(f"  Received: {received}")
    if next_step:
        lines.append(f"  To do:    {next_step}")
    return "\n".join(lines)
