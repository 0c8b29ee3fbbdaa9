"""A core that never idles.

A server that answers a client who sleeps has to wake the client's core, and where the machine is a virtual one
that is an exit to the hypervisor, which the server's own core pays. The more a server works between two answers,
the more often its client sleeps, so that work looks dearer than it is. Measured on two virtual cores of a cloud
machine by `perf`: 5.4 microseconds a request without the prediction log and 9.8 with it, in the kernel's wake-up
alone. On a client's own machine, somebody else's network card pays for it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def keep_awake(core: int) -> Iterator[None]:
    """Run a loop on a core that gives way to everything else there, and end it at last."""
    loop = subprocess.Popen([sys.executable, "-m", "benchmarks.serving.wakefulness", str(core)])
    try:
        yield
    finally:
        loop.terminate()
        loop.wait()


def _spin(core: int) -> None:
    os.sched_setaffinity(0, {core})
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    while True:
        pass


if __name__ == "__main__":
    _spin(int(sys.argv[1]))
