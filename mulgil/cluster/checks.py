"""One thing that was looked at, and what it means."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from mulgil.errors import MulgilError, PermanentError, TemporaryError, describe


class State(StrEnum):
    """How a check came out."""

    OK = "ok"
    # Something works less well, or is not there and not needed by all.
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Check:
    """What was looked at.

    Attributes:
        name: Of the thing.
        state: How it came out.
        seen: What was there.
        fix: What to do; empty where it is well.
    """

    name: str
    state: State
    seen: str
    fix: str = ""


def ok(name: str, seen: str) -> Check:
    """Return a check that came out well."""
    return Check(name, State.OK, seen)


def warn(name: str, seen: str, fix: str) -> Check:
    """Return a check of something that not all need."""
    return Check(name, State.WARN, seen, fix)


def fail(name: str, seen: str, fix: str) -> Check:
    """Return a check that came out badly."""
    return Check(name, State.FAIL, seen, fix)


def failed(name: str, exc: MulgilError) -> Check:
    """Return the check of something that an error of ours came out of: its last words are the fix."""
    lines = [line.strip() for line in str(exc).splitlines()]
    fix = next((line.partition("To do:")[2].strip() for line in lines if line.startswith("To do:")), "")
    seen = " ".join(line for line in lines if not line.startswith(("To do:", "Expected:")))
    if isinstance(exc, TemporaryError) and not fix:
        fix = "ask again"
    return Check(name, State.FAIL, seen, fix or "see docs/kubernetes.md")


def exit_code(checks: Iterable[Check]) -> int:
    """Return 0 where nothing failed, or what stands for something that cannot work here."""
    return PermanentError.exit_code if any(check.state is State.FAIL for check in checks) else 0


def require(check: Check) -> None:
    """Refuse to go on where a check failed.

    Raises:
        PermanentError: With what was seen, and the fix.
    """
    if check.state is State.FAIL:
        raise PermanentError(
            describe(
                f"What is asked does not work on this cluster ({check.name})",
                received=check.seen,
                next_step=check.fix,
            )
        )
