"""What a server asks of the machine before it may run: a scheduler's question, of one machine."""

from __future__ import annotations

import os

from mulgil.errors import InputError, describe
from mulgil.local.plane.objects import Amounts


def check_requests(requests: Amounts, name: str) -> None:
    """Refuse what no server on this machine could have.

    Args:
        requests: Of one server.
        name: Whose.

    Raises:
        InputError: It is more than there is.
    """
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if requests.cores is not None and requests.cores > cores:
        raise InputError(
            describe(
                f"{name} requests more cores than this machine has",
                expected=f"at most {cores}",
                received=f"resources.requests.cpu={requests.cpu}",
            )
        )
    if requests.bytes is not None and requests.bytes > memory:
        raise InputError(
            describe(
                f"{name} requests more memory than this machine has",
                expected=f"at most {memory / 2**30:.1f}Gi",
                received=f"resources.requests.memory={requests.memory}",
            )
        )
