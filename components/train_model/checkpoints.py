"""How far a fit has come, on the disk: what is killed goes on from there, and ends as if it never had been.

A checkpoint is found by what is fitted: the settings, the project's code, the rows and the versions. So a
step that is started again finds its own, and one that differs in anything starts anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
import uuid
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

# Shorter fits leave none. Chosen by eye: what is lost at most, and far more than writing takes.
_EVERY_SECONDS = 10.0
# What a run that was given up left behind.
_KEPT_SECONDS = 7 * 24 * 3600.0


@dataclass(frozen=True)
class FitState:
    """A fit after some epochs.

    Attributes:
        logs: Each epoch's loss, and its validation loss where there is one.
        variables: The network's, then the optimizer's, in their order.
    """

    logs: dict[str, list[float]]
    variables: list[npt.NDArray[Any]]

    @property
    def epochs(self) -> int:
        """How many there were."""
        return len(self.logs["loss"])


@dataclass
class Checkpoint:
    """One fit's place on the disk.

    Attributes:
        path: The file; there need not be one.
    """

    path: Path
    _saved_at: float = field(default_factory=time.monotonic)

    @property
    def is_due(self) -> bool:
        """Whether the last one is old enough."""
        return time.monotonic() - self._saved_at >= _EVERY_SECONDS

    def save(self, state: FitState) -> None:
        """Write a state, whole or not at all; a disk that takes none costs the checkpoint, not the fit."""
        self._saved_at = time.monotonic()
        staged = self.path.with_name(f".{uuid.uuid4().hex}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with staged.open("wb") as file:
                arrays = {f"variable_{place}": value for place, value in enumerate(state.variables)}
                np.savez(file, logs=np.array(json.dumps(state.logs)), **arrays)
            staged.replace(self.path)
        except OSError as exc:
            print(f"No checkpoint can be kept at {self.path.parent}: {exc.strerror}")
            with contextlib.suppress(OSError):
                staged.unlink(missing_ok=True)

    def load(self) -> FitState | None:
        """Read the state; `None` where there is none, or it cannot be read."""
        try:
            # Opened here, as numpy leaves what is no archive open.
            with self.path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
                logs = json.loads(str(file["logs"]))
                return FitState(logs, [file[f"variable_{place}"] for place in range(len(file.files) - 1)])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None


@dataclass
class Checkpoints:
    """Where the fits of one training leave theirs.

    Attributes:
        folder: Of all trainings on this machine.
    """

    folder: Path
    _used: list[Checkpoint] = field(default_factory=list)

    def find(self, *parts: object) -> Checkpoint:
        """Return the checkpoint of a fit.

        Args:
            parts: What makes it that fit: arrays by their content, anything else as JSON.
        """
        digest = hashlib.sha256()
        for part in parts:
            if isinstance(part, np.ndarray):
                digest.update(f"{part.dtype} {part.shape}".encode())
                digest.update(np.ascontiguousarray(part).data)
            else:
                digest.update(json.dumps(part, sort_keys=True).encode())
        checkpoint = Checkpoint(self.folder / f"{digest.hexdigest()[:32]}.npz")
        self._used.append(checkpoint)
        return checkpoint

    @property
    def used(self) -> list[Path]:
        """The files of the fits so far; some of them left none."""
        return [checkpoint.path for checkpoint in self._used]

    def adopt(self, paths: Iterable[Path]) -> None:
        """Take over files that another process used for this training."""
        self._used += [Checkpoint(path) for path in paths]

    def clear(self) -> None:
        """Remove those that were used, as the training is over, and those that nobody came back for."""
        for checkpoint in self._used:
            checkpoint.path.unlink(missing_ok=True)
        if not self.folder.is_dir():
            return
        for entry in os.scandir(self.folder):
            if time.time() - entry.stat().st_mtime > _KEPT_SECONDS:
                Path(entry.path).unlink(missing_ok=True)
