"""A core that never idles.

A server that answers a client who sleeps has to wake the client's core. On a virtual machine that is an exit
to the hypervisor, and the server's own core pays for it, though it is the client's: on a machine of its own,
the network card would wake it. It also makes all that a server does between two answers look dearer than it
is, as the client sleeps the more for it. Measured by `perf` on two virtual cores: of a request, the kernel's
wake-up alone had 5.4 microseconds without the prediction log and 9.8 with it.
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
