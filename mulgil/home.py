"""Where Mulgil keeps its state on this machine."""

from __future__ import annotations

import os
from pathlib import Path

from mulgil.errors import InputError, describe

# Set in a container that works on this machine's state and does not see its processes.
CONTAINED_VARIABLE = "MULGIL_CONTAINED"

SOURCE_ROOT = Path(__file__).resolve().parent.parent


def home() -> Path:
    """Return the folder of all state: `$MULGIL_HOME`, or `.mulgil` in the checkout. It need not exist yet.

    Raises:
        InputError: It can be no folder, nothing can be written to it, or TensorFlow could not read from it.
    """
    folder = Path(os.environ.get("MULGIL_HOME") or SOURCE_ROOT / ".mulgil").resolve()
    # Looking leaves nothing behind: the folder is made by who first writes to it.
    nearest = next(place for place in (folder, *folder.parents) if os.access(place, os.F_OK))
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise _unusable(folder, f"{nearest} is no folder that can be written to")
    # TensorFlow takes a checkpoint's path for a pattern.
    if set("*?[\\") & set(str(folder)):
        raise _unusable(folder, "the path has one of * ? [ \\ in it")
    return folder


def is_contained() -> bool:
    """Whether this process is in a container that works on the state of the machine around it.

    What is to outlive it there, whoever started the container has to start.
    """
    return bool(os.environ.get(CONTAINED_VARIABLE))


def _unusable(folder: Path, reason: str) -> InputError:
    return InputError(
        describe(
            f"Mulgil cannot keep its state in {folder}: {reason}",
            expected="a place where a folder can be made and written to",
            next_step="set MULGIL_HOME to one",
        )
    )
