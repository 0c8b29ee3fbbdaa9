"""Where Mulgil keeps its state on this machine."""

from __future__ import annotations

import os
from pathlib import Path

from mulgil.errors import InputError, describe

SOURCE_ROOT = Path(__file__).resolve().parent.parent


def home() -> Path:
    """Return the folder of all state: `$MULGIL_HOME`, or `.mulgil` in the checkout; it is made where missing.

    Raises:
        InputError: It is no folder, nothing can be written to it, or TensorFlow could not read from it.
    """
    folder = Path(os.environ.get("MULGIL_HOME") or SOURCE_ROOT / ".mulgil").resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise _unusable(folder, exc.strerror or str(exc)) from exc
    if not os.access(folder, os.W_OK | os.X_OK):
        raise _unusable(folder, "it cannot be written to")
    # TensorFlow takes a checkpoint's path for a pattern.
    if set("*?[\\") & set(str(folder)):
        raise _unusable(folder, "the path has one of * ? [ \\ in it")
    return folder


def _unusable(folder: Path, reason: str) -> InputError:
    return InputError(
        describe(
            f"Mulgil cannot keep its state in {folder}: {reason}",
            expected="a folder that can be written to",
            next_step="set MULGIL_HOME to one",
        )
    )
