"""Until when a dataset is what its source gives, though nothing that it was made of changes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from mulgil.artifacts import SUMMARY, QuarantineSummary


def expires_at(outputs: Mapping[str, Path]) -> datetime | None:
    """Return when the first row that was from the future no longer is; `None` where there is none.

    Args:
        outputs: The step's artifacts by name.
    """
    place = outputs.get("quarantine")
    return None if place is None else QuarantineSummary.read(place / SUMMARY).due
