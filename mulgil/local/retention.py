"""Which runs may go: a pure decision of ages, sizes and what still needs them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mulgil.errors import InputError, describe

_UNITS_OF_TIME = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_UNITS_OF_SIZE = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


@dataclass(frozen=True)
class KeptRun:
    """A run as the decision sees it.

    Attributes:
        run_id: Its name.
        ended_at: When something was last done in it, in seconds since the epoch.
        size: Of its folder, in bytes.
    """

    run_id: str
    ended_at: float
    size: int


def choose_expendable(
    runs: Sequence[KeptRun],
    needed: Mapping[str, str],
    *,
    now: float,
    older_than: float | None = None,
    keep_size: int | None = None,
) -> list[KeptRun]:
    """Choose the runs that go, the oldest first.

    Args:
        runs: Every run.
        needed: Why a run must stay, by its name; such a one never goes, however old or large.
        now: Seconds since the epoch.
        older_than: A run goes that ended so many seconds ago or more.
        keep_size: The oldest go until all that stay, the needed ones too, have at most so many bytes.
    """
    free = sorted((run for run in runs if run.run_id not in needed), key=lambda run: run.ended_at)
    gone = [run for run in free if older_than is not None and now - run.ended_at >= older_than]
    if keep_size is not None:
        left = sum(run.size for run in runs) - sum(run.size for run in gone)
        for run in free:
            if left <= keep_size:
                break
            if run not in gone:
                gone.append(run)
                left -= run.size
    return gone


def parse_age(text: str) -> float:
    """Read an age such as `30d`, `12h` or `2w`, in seconds.

    Raises:
        InputError: It is none.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text)
    if match is None:
        raise InputError(describe("This is no age", expected="such as 30d, 12h or 2w", received=text))
    return float(match[1]) * _UNITS_OF_TIME[match[2]]


def parse_size(text: str) -> int:
    """Read a size such as `5GB` or `500MB`, in bytes.

    Raises:
        InputError: It is none.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?B)", text.upper())
    if match is None:
        raise InputError(describe("This is no size", expected="such as 5GB or 500MB", received=text))
    return int(float(match[1]) * _UNITS_OF_SIZE[match[2]])


def format_size(size: int) -> str:
    """Write a size, such as `1.2 MB`."""
    for unit in reversed(_UNITS_OF_SIZE):
        if size >= _UNITS_OF_SIZE[unit] and unit != "B":
            return f"{size / _UNITS_OF_SIZE[unit]:.1f} {unit}"
    return f"{size} B"
