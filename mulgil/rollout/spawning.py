"""The process that drives a rollout: started beside whoever asked for it, and again where it has died."""

from __future__ import annotations

import subprocess
import sys
import time

from mulgil.home import SOURCE_ROOT, is_contained
from mulgil.rollout.store import LOG, RolloutStore

_START_SECONDS = 20.0
_LOOK_SECONDS = 0.1


def ensure_driven(store: RolloutStore, rollout_id: str) -> None:
    """See that a process drives a rollout that is not over. It outlives this one.

    In a container nothing does: there who started the container sees to it.
    """
    if is_contained():
        return
    if store.read(rollout_id).phase.is_over or store.is_driven(rollout_id):
        return
    with (store.path(rollout_id) / LOG).open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "mulgil.cli", "rollout", "drive", rollout_id],
            cwd=SOURCE_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    # So that who asks again soon does not start another.
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None and not store.is_driven(rollout_id) and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)
