"""The process that drives a rollout: started beside whoever asked for it, and again where it has died."""

from __future__ import annotations

import subprocess
import sys

from mulgil.home import SOURCE_ROOT
from mulgil.rollout.store import LOG, RolloutStore


def ensure_driven(store: RolloutStore, rollout_id: str) -> None:
    """See that a process drives a rollout that is not over. It outlives this one."""
    if store.read(rollout_id).phase.is_over or store.is_driven(rollout_id):
        return
    with (store.path(rollout_id) / LOG).open("ab") as log:
        subprocess.Popen(
            [sys.executable, "-P", "-m", "mulgil.cli", "rollout", "drive", rollout_id],
            cwd=SOURCE_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
