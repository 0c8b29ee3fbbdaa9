"""Rollouts on the disk: each a folder, its record renamed into place, so that it survives whoever dies.

The process that drives a rollout writes the record; commands of people lie beside it, in a file of their own.
"""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

from mulgil.artifacts import write_text
from mulgil.errors import InputError, PermanentError, describe
from mulgil.home import home
from mulgil.rollout.record import RolloutRecord, RolloutVerdict

RECORD, VERDICT, PAGE, LOG = "rollout.json", "verdict.json", "rollout.html", "rollout.log"
_COMMAND, _LOCK = "command", "driven.lock"
_TRY_SECONDS = 0.01


class Command(StrEnum):
    """What a person wants of a rollout, whatever the numbers say."""

    PROMOTE = "promote"
    ABORT = "abort"


class RolloutStore:
    """The rollouts of one home.

    Args:
        folder: `rollouts` in Mulgil's home where it is not given.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or home() / "rollouts"

    def path(self, rollout_id: str) -> Path:
        """Return a rollout's folder."""
        return self.folder / rollout_id

    def write(self, rollout: RolloutRecord) -> None:
        """Write a rollout down, whole or not at all."""
        rollout.write(self.path(rollout.rollout_id) / RECORD)

    def read(self, rollout_id: str) -> RolloutRecord:
        """Return a rollout.

        Raises:
            InputError: There is none of that name.
        """
        if not self._exists(rollout_id):
            there = ", ".join(rollout.rollout_id for rollout in self.list()[:5])
            if not there:
                raise InputError(
                    describe(
                        "There is no rollout yet",
                        next_step="`mulgil run` a later version, or `mulgil rollout start`",
                    )
                )
            raise InputError(
                describe(
                    f"There is no rollout {rollout_id}",
                    expected=f"`latest`, or one of those that there are: {there}",
                    received=f"ROLLOUT={rollout_id}",
                    next_step="see `mulgil rollout history`",
                )
            )
        return self._load(rollout_id)

    def _exists(self, rollout_id: str) -> bool:
        return (self.path(rollout_id) / RECORD).exists()

    def _load(self, rollout_id: str) -> RolloutRecord:
        return RolloutRecord.read(self.path(rollout_id) / RECORD)

    def find(self, name: str) -> RolloutRecord:
        """Return a rollout by its name, by an InferenceService's (its newest), or by `latest`.

        Raises:
            InputError: There is none.
        """
        known = self.list()
        of_service = [rollout for rollout in known if name in ("latest", rollout.service)]
        return of_service[0] if of_service else self.read(name)

    def list(self) -> list[RolloutRecord]:
        """Return all rollouts, the newest first."""
        found = (RolloutRecord.read(path) for path in self.folder.glob(f"*/{RECORD}"))
        return sorted(found, key=lambda rollout: rollout.created_at, reverse=True)

    def under_way(self, service: str, namespace: str) -> RolloutRecord | None:
        """Return the rollout of an InferenceService that is not over."""
        for rollout in self.list():
            if (rollout.service, rollout.namespace) == (service, namespace) and not rollout.phase.is_over:
                return rollout
        return None

    def require_none_under_way(self, service: str, namespace: str) -> None:
        """See that no rollout is changing an InferenceService.

        Raises:
            PermanentError: One is.
        """
        rollout = self.under_way(service, namespace)
        if rollout is not None:
            raise PermanentError(
                describe(
                    f"The rollout {rollout.rollout_id} of {namespace}/{service} is under way",
                    received=f"version {rollout.candidate_version}, {rollout.phase}",
                    next_step="wait for it (`mulgil rollout watch`), or end it (`mulgil rollout abort`)",
                )
            )

    def write_verdict(self, verdict: RolloutVerdict) -> Path:
        """Write a verdict beside its rollout."""
        path = self.path(verdict.rollout_id) / VERDICT
        verdict.write(path)
        return path

    def command(self, rollout_id: str, command: Command) -> None:
        """Leave a command for who drives the rollout; the last one counts."""
        write_text(self.path(rollout_id) / _COMMAND, command.value)

    def read_command(self, rollout_id: str) -> Command | None:
        """Return the command that lies there."""
        try:
            return Command((self.path(rollout_id) / _COMMAND).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None

    def is_driven(self, rollout_id: str) -> bool:
        """Whether a process drives the rollout now."""
        with self.driving(rollout_id, tries=1) as is_mine:
            return not is_mine

    @contextlib.contextmanager
    def driving(self, rollout_id: str, tries: int = 100) -> Iterator[bool]:
        """Be the one that drives a rollout, or learn that another process is; it ends with the process.

        Who only asks whether it is driven holds the lock for a moment too: hence several tries.
        """
        with (self.path(rollout_id) / _LOCK).open("w", encoding="utf-8") as file:
            for _ in range(tries):
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    time.sleep(_TRY_SECONDS)
                else:
                    yield True
                    return
            yield False
