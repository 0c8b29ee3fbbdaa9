"""How far a fit has come: what is killed goes on from there, and ends as if it never had been.

A checkpoint is found by what is fitted: the settings, the project's code, the rows and the versions. So a
step that is started again finds its own, and one that differs in anything starts anew.
"""

from __future__ import annotations

import hashlib
import json
import time
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from components.train_model.progress import ProgressPlace

# Shorter fits leave none. Chosen by eye: what is lost at most, and far more than writing takes.
_EVERY_SECONDS = 10.0
# Of the time between two, writing takes so small a part, however slow the place is. Chosen by eye.
_TIMES_THE_WRITE = 20.0


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
    """One fit's place.

    Attributes:
        place: Where checkpoints are.
        name: Its own; there need not be one.
        is_there: Whether this training found it, or left it.
    """

    place: ProgressPlace
    name: str
    is_there: bool = False
    _saved_at: float = field(default_factory=time.monotonic)
    _wait: float = field(default_factory=lambda: _EVERY_SECONDS)

    @property
    def is_due(self) -> bool:
        """Whether the last one is old enough."""
        return time.monotonic() - self._saved_at >= self._wait

    def save(self, state: FitState) -> None:
        """Leave a state."""
        begun = time.monotonic()
        self.is_there = True
        arrays = {f"variable_{place}": value for place, value in enumerate(state.variables)}
        self.place.keep(
            self.name, lambda file: np.savez(file, logs=np.array(json.dumps(state.logs)), **arrays)
        )
        self._saved_at = time.monotonic()
        self._wait = max(_EVERY_SECONDS, _TIMES_THE_WRITE * (self._saved_at - begun))

    def load(self) -> FitState | None:
        """Read the state; `None` where there is none, or it cannot be read."""
        found = self.place.read(self.name)
        self.is_there = found is not None
        if found is None:
            return None
        try:
            # Opened before, as numpy leaves what is no archive open.
            with found, np.load(found, allow_pickle=False) as file:
                logs = json.loads(str(file["logs"]))
                variables = [file[f"variable_{place}"] for place in range(len(file.files) - 1)]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        return FitState(logs, variables)


@dataclass
class Checkpoints:
    """Where the fits of one training leave theirs.

    Attributes:
        place: Of all trainings on this platform.
    """

    place: ProgressPlace
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
        checkpoint = Checkpoint(self.place, f"{digest.hexdigest()[:32]}.npz")
        self._used.append(checkpoint)
        return checkpoint

    @property
    def used(self) -> list[str]:
        """The names of those that there are of the fits so far."""
        return [checkpoint.name for checkpoint in self._used if checkpoint.is_there]

    def adopt(self, names: Iterable[str]) -> None:
        """Take over what another process left for this training."""
        self._used += [Checkpoint(self.place, name, is_there=True) for name in names]

    def clear(self) -> None:
        """Remove those that were used, as the training is over, and those that nobody came back for."""
        for name in self.used:
            self.place.forget(name)
        self.place.tidy()
