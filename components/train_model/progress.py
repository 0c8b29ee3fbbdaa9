"""Where a training leaves how far it has come, so that one which was killed goes on from there.

On one machine that is a folder of Mulgil's home. Steps that share no disk, as the pods of a cluster, leave it
in an object store.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol

import fsspec

from mulgil.home import home
from mulgil.source_code import fingerprint_source

# Where it is left by steps that share no disk: an address in an object store.
URI_VARIABLE = "MULGIL_TRAINING_URI"

# How long a store that could not be reached is not asked again: some take minutes to say so, at each fit.
_AWAY_SECONDS = 600.0
# After so many times in a row it is not asked again by this training.
_MOST_FAILURES = 3
# What a training that was given up left behind.
_KEPT_SECONDS = 7 * 24 * 3600.0
# What a training is computed by; after a change there, what was left before it is no part of the same.
_CODE = (
    "components/train_model/*.py",
    "mulgil/contract/*.py",
    "mulgil/preprocessing/*.py",
    "mulgil/images.py",
)
_LIBRARIES = ("keras", "keras-tuner", "numpy", "pillow", "scikit-learn", "scipy", "tensorflow")


def fingerprint_code() -> str:
    """Return the hash of the code that a training is computed by."""
    return fingerprint_source(_CODE, _LIBRARIES)


class ProgressPlace(Protocol):
    """Where what is left of one kind, such as checkpoints, is kept by name.

    A place that takes nothing costs a training its progress, and not the training.
    """

    def read(self, name: str) -> BinaryIO | None:
        """Open what was left; `None` where there is nothing, or it cannot be reached."""

    def keep(self, name: str, write: Callable[[BinaryIO], None]) -> None:
        """Leave what a function writes, whole or not at all."""

    def forget(self, name: str) -> None:
        """Remove what was left, if anything was."""

    def tidy(self) -> None:
        """Remove what nobody came back for."""


def open_progress(kind: str) -> ProgressPlace:
    """Return where trainings on this platform leave what is of one kind."""
    uri = os.environ.get(URI_VARIABLE, "")
    return StoredProgress(f"{uri.rstrip('/')}/{kind}") if uri else LocalProgress(home() / kind)


@dataclass(frozen=True)
class LocalProgress:
    """Files of this machine.

    Attributes:
        folder: Where they are; it is made when it is needed.
    """

    folder: Path

    def read(self, name: str) -> BinaryIO | None:
        """Open a file."""
        try:
            return (self.folder / name).open("rb")
        except OSError:
            return None

    def keep(self, name: str, write: Callable[[BinaryIO], None]) -> None:
        """Write a file that takes its name when it is whole."""
        staged = self.folder / f".{uuid.uuid4().hex}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with staged.open("wb") as file:
                write(file)
            staged.replace(self.folder / name)
        except OSError as exc:
            print(f"The training's progress cannot be kept at {self.folder}: {exc.strerror}")
            with contextlib.suppress(OSError):
                staged.unlink(missing_ok=True)

    def forget(self, name: str) -> None:
        """Remove a file."""
        (self.folder / name).unlink(missing_ok=True)

    def tidy(self) -> None:
        """Remove what is a week old."""
        if not self.folder.is_dir():
            return
        for entry in os.scandir(self.folder):
            # Another training may be removing the same.
            with contextlib.suppress(FileNotFoundError):
                if time.time() - entry.stat().st_mtime <= _KEPT_SECONDS:
                    continue
                if entry.is_dir():
                    # As a search was kept before it was one file.
                    shutil.rmtree(entry.path, ignore_errors=True)
                else:
                    Path(entry.path).unlink()


@dataclass
class StoredProgress:
    """Objects of a store.

    Attributes:
        url: Of them all.
    """

    url: str
    _away_until: float = field(default=0.0, compare=False, repr=False)
    _failures: int = field(default=0, compare=False, repr=False)

    def read(self, name: str) -> BinaryIO | None:
        """Fetch an object."""
        found: bytes | None = None
        if self._is_away:
            return None
        with self._reached("read"):
            store, root = fsspec.core.url_to_fs(self.url)
            if store.exists(f"{root}/{name}"):
                found = store.cat_file(f"{root}/{name}")
        return None if found is None else io.BytesIO(found)

    def keep(self, name: str, write: Callable[[BinaryIO], None]) -> None:
        """Put an object; a store shows none that is not whole."""
        if self._is_away:
            return
        content = io.BytesIO()
        write(content)
        with self._reached("kept"):
            store, root = fsspec.core.url_to_fs(self.url)
            store.makedirs(root, exist_ok=True)
            store.pipe_file(f"{root}/{name}", content.getvalue())

    def forget(self, name: str) -> None:
        """Remove an object."""
        if self._is_away:
            return
        with self._reached("removed"), contextlib.suppress(FileNotFoundError):
            store, root = fsspec.core.url_to_fs(self.url)
            store.rm_file(f"{root}/{name}")

    def tidy(self) -> None:
        """Nothing: what is old is for the store's own rules of how long it keeps things."""

    @property
    def _is_away(self) -> bool:
        return time.monotonic() < self._away_until

    @contextlib.contextmanager
    def _reached(self, what: str) -> Iterator[None]:
        try:
            yield
            self._failures = 0
        except Exception as exc:  # noqa: BLE001 - each object store has errors of its own, without a common base
            self._failures += 1
            is_given_up = self._failures >= _MOST_FAILURES
            self._away_until = math.inf if is_given_up else time.monotonic() + _AWAY_SECONDS
            print(f"The training's progress cannot be {what} at {self.url}: {type(exc).__name__}: {exc}")
