"""Whether a step that acts on a store outside the run has anything to do there.

A component may say what it leaves in its store by light facts, in its module `standing`. They are kept beside
its outputs when it has run. Where its inputs are equal again and the facts still are, running it would leave
all as it is. A component without that module runs each time.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path

from mulgil.errors import MulgilError, NotReconciledError
from mulgil.local.environments import find_environment
from mulgil.local.step import Step

Facts = Mapping[str, str]


def observe(step: Step, outputs: Mapping[str, Path]) -> Facts:
    """Return what is to be seen of a step's work in its store.

    Args:
        step: The step.
        outputs: Its artifacts by name, as it wrote them.

    Raises:
        NotReconciledError: It does not stand, or it cannot be told without running the step.
    """
    name = f"components.{find_environment(step.container.image).component}.standing"
    if importlib.util.find_spec(name) is None:
        raise NotReconciledError("it acts on a store outside the run")
    try:
        facts: Facts = importlib.import_module(name).observe(
            {**step.inputs.parameters, **step.inputs.artifacts}, outputs
        )
    except (MulgilError, OSError) as exc:
        raise NotReconciledError(str(exc).partition("\n")[0]) from exc
    return facts


def compare(kept: Facts | None, seen: Facts) -> None:
    """Hold what is seen against what was kept.

    Raises:
        NotReconciledError: They differ.
    """
    if kept is None:
        raise NotReconciledError("it is not known what the last run left in its store")
    changed = sorted(name for name in kept.keys() | seen.keys() if kept.get(name) != seen.get(name))
    if changed:
        raise NotReconciledError(f"its store changed since: {', '.join(changed)}")
