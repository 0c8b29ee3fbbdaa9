"""Outputs of steps, kept under the hash of all that they depend on.

An entry is a directory that takes its name when it is whole. Files are linked, not copied, between a run and
the cache: a finished artifact never changes.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from mulgil.artifacts import staged_directory, write_text
from mulgil.local.cache.step_key import StepKey, explain_difference

_KEY = "key.json"
_FACTS = "facts.json"
_OUTPUTS = ("artifacts", "parameters")


class OutputStore:
    """The cache's folder.

    Args:
        root: Where entries are kept; it is made where it does not exist.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def restore(self, key: StepKey, folder: Path, *, is_use: bool = True) -> None:
        """Put the outputs of a key into a task's folder.

        Args:
            key: The key; there is an entry for it.
            folder: The task's folder.
            is_use: Whether it counts as a use of the entry, from which its age is counted.
        """
        entry = self._entry(key)
        for name in _OUTPUTS:
            with staged_directory(folder / name) as staged:
                _link_tree(entry / name, staged)
        if is_use:
            os.utime(entry)

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
        latest_first = sorted(places, key=lambda place: place.parent.stat().st_mtime, reverse=True)
        return min(
            (StepKey.read(place) for place in latest_first),
            key=lambda other: len(explain_difference(other, key)),
            default=None,
        )

    def prune(self, older_than_seconds: float) -> tuple[int, int]:
        """Remove the entries that were not used for a time.

        Returns:
            How many, and how many bytes they held.
        """
        entries, size = 0, 0
        for entry in self._entries():
            if time.time() - entry.stat().st_mtime > older_than_seconds:
                size += sum(file.stat().st_size for file in entry.rglob("*") if file.is_file())
                entries += 1
                # Without its key it is no entry, whenever the removal is interrupted.
                (entry / _KEY).unlink(missing_ok=True)
                shutil.rmtree(entry)
        return entries, size

    def _entries(self) -> Iterator[Path]:
        return (path for path in self._root.glob("*/*") if path.is_dir())

    def _entry(self, key: StepKey) -> Path:
        return self._root / key.component / key.fingerprint


def _link_tree(source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, copy_function=os.link, dirs_exist_ok=True)
