"""Where Mulgil keeps its state on this machine."""

from __future__ import annotations

import os
from pathlib import Path

SOURCE_ROOT = Path(__file__).resolve().parent.parent


def home() -> Path:
    """Return the folder of all state: `$MULGIL_HOME`, or `.mulgil` in the checkout."""
    return Path(os.environ.get("MULGIL_HOME") or SOURCE_ROOT / ".mulgil").resolve()
