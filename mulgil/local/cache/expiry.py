"""Until when a step's outputs are good, though nothing that they depend on changes.

A component may say so of its outputs in its module `expiry`; without that module they always are.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from mulgil.errors import MulgilError, NotReconciledError
from mulgil.local.environments import find_environment
from mulgil.local.step import Step


def require_unexpired(step: Step, outputs: Mapping[str, Path]) -> None:
    """Hold the clock against what a step's component says of its outputs.

    Args:
        step: The step.
        outputs: Its artifacts by name, as it wrote them.

    Raises:
        NotReconciledError: They were good until a time that has come, or cannot be read.
    """
    name = f"components.{find_environment(step.container.image).component}.expiry"
    if importlib.util.find_spec(name) is None:
        return
    try:
        until: datetime | None = importlib.import_module(name).expires_at(outputs)
    except (MulgilError, OSError) as exc:
        raise NotReconciledError(str(exc).partition("\n")[0]) from exc
    if until is not None and until <= datetime.now(UTC):
        raise NotReconciledError(f"its outputs were good until {until:%Y-%m-%d %H:%M} UTC")
