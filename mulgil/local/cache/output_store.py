"""Outputs of steps, kept under the hash of all that they depend on.

An entry is a directory that takes its name when it is whole. Files are linked, not copied, between a run and
the cache: a finished artifact never changes.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from mulgil.artifacts import remove_directory, staged_directory, write_text
from mulgil.errors import InputError
from mulgil.local.cache.step_key import StepKey, explain_difference

_KEY = "key.json"
_FACTS = "facts.json"
_OUTPUTS = ("artifacts", "parameters")
# What is older was left by a writer that was killed; chosen by eye.
_LONGEST_WRITE_SECONDS = 3600


class OutputStore:
    """The cache's folder.

    Args:
        root: Where entries are kept; it is made where it does not exist.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def restore(self, key: StepKey, folder: Path, *, is_use: bool = True) -> bool:
        """Put the outputs of a key into a task's folder.

        Args:
            key: The key.
            folder: The task's folder.
            is_use: Whether it counts as a use of the entry, from which its age is counted.

        Returns:
            Whether they are there: another process may replace or prune an entry at any moment.
        """
        entry = self._entry(key)
        try:
            for name in _OUTPUTS:
                with staged_directory(folder / name) as staged:
                    _link_tree(entry / name, staged)
            if is_use:
                os.utime(entry)
        except (FileNotFoundError, shutil.Error):
            return False
        return True

    def has(self, key: StepKey) -> bool:
        """Whether there is an entry for a key."""
        return (self._entry(key) / _KEY).is_file()

    def keep(self, key: StepKey, folder: Path, facts: Mapping[str, str] | None = None) -> None:
        """Keep the outputs in a task's folder under a key.

        Args:
            key: The key.
            folder: The task's folder.
            facts: What is to be seen of the step in a store outside the run, if anything.
        """
        with staged_directory(self._entry(key)) as staged:
            for name in _OUTPUTS:
                _link_tree(folder / name, staged / name)
            if facts is not None:
                write_text(staged / _FACTS, json.dumps(dict(facts)))
            key.write(staged / _KEY)

    def read_facts(self, key: StepKey) -> dict[str, str] | None:
        """Return the facts that were kept with an entry; `None` where there are none."""
        try:
            facts: dict[str, str] = json.loads((self._entry(key) / _FACTS).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return facts

    def artifacts_of(self, key: StepKey) -> dict[str, Path]:
        """Return the places of an entry's artifacts, by name."""
        return {place.name: place for place in (self._entry(key) / "artifacts").iterdir()}

    def find_nearest(self, key: StepKey) -> StepKey | None:
        """Return the kept key of the same component that differs least; of equals, the last used."""
        places = (self._root / key.component).glob(f"*/{_KEY}")
        latest_first = sorted(places, key=_last_used, reverse=True)
        return min(
            _read_keys(latest_first), key=lambda other: len(explain_difference(other, key)), default=None
        )

    def prune(self, older_than_seconds: float) -> tuple[int, int]:
        """Remove the entries that were not used for a time.

        Returns:
            How many, and how many bytes they held.
        """
        entries, size = 0, 0
        for entry in self._entries():
            least = _LONGEST_WRITE_SECONDS if entry.name.startswith(".") else 0
            # A run may just have replaced it, or another pruning have been first.
            with contextlib.suppress(FileNotFoundError):
                if time.time() - entry.stat().st_mtime > max(older_than_seconds, least):
                    held = sum(file.stat().st_size for file in entry.rglob("*") if file.is_file())
                    remove_directory(entry)
                    entries, size = entries + 1, size + held
        return entries, size

    def _entries(self) -> Iterator[Path]:
        return (path for path in self._root.glob("*/*") if path.is_dir())

    def _entry(self, key: StepKey) -> Path:
        return self._root / key.component / key.fingerprint


def _last_used(place: Path) -> float:
    try:
        return place.parent.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _read_keys(places: Iterable[Path]) -> Iterator[StepKey]:
    for place in places:
        # One that was pruned meanwhile, or that another version of Mulgil wrote, explains nothing.
        with contextlib.suppress(InputError):
            yield StepKey.read(place)


def _link_tree(source: Path, target: Path) -> None:
    shutil.copytree(source, target, copy_function=os.link, dirs_exist_ok=True)
