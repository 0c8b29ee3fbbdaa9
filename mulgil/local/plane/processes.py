"""Processes that outlive who started them: begun detached, known by pid and start time, ended by both.

A pid alone may meanwhile be another process's; with the boot and the start time it is one process for ever.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from mulgil.artifacts import Record

# Tells the processes of one plane from all others, also where their starter died before it wrote them down.
MARK = "MULGIL_SERVING_PLANE"

_PROC = Path("/proc")
_LOOK_SECONDS = 0.02


class ProcessIdentity(Record):
    """One process, for ever.

    Attributes:
        pid: Its number.
        boot: The machine's boot, as Linux names it.
        started: When it began, in clock ticks since the boot.
    """

    pid: int
    boot: str
    started: int


def identify(pid: int) -> ProcessIdentity | None:
    """Return the living process that has a number now.

    Source:
        proc_pid_stat(5): the name in parentheses may hold anything; state is field 3, starttime field 22.
    """
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    if fields[0] in ("Z", "X"):
        return None
    return ProcessIdentity(pid=pid, boot=_boot(), started=int(fields[19]))


def is_alive(process: ProcessIdentity) -> bool:
    """Whether that very process is running."""
    return identify(process.pid) == process


def start_process(
    command: Sequence[str], *, log_path: Path, environment: Mapping[str, str], mark: Path
) -> ProcessIdentity:
    """Start a process in a session of its own.

    Args:
        command: Absolute path of the program, and its arguments.
        log_path: Where its output goes, after what is there.
        environment: Added to this process's own.
        mark: The plane's folder, by which `find_marked` finds the process.

    Returns:
        Who it is. Nobody but its session's end and `stop_processes` stops it.
    """
    log_path.parent.mkdir(parents=True, exist_ok=True)
    pid = os.posix_spawn(
        command[0],
        list(command),
        {**os.environ, **environment, MARK: str(mark)},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log_path), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    # Where it has ended already there is nobody to identify; this identity is then of no living process.
    return identify(pid) or ProcessIdentity(pid=pid, boot=_boot(), started=0)


def reap(process: ProcessIdentity) -> int | None:
    """Take the exit code of a child that has ended.

    Returns:
        The code, negative for a signal; `None` where the process is not this one's child, and so untold.
    """
    try:
        pid, status = os.waitpid(process.pid, os.WNOHANG)
    except ChildProcessError:
        return None
    return os.waitstatus_to_exitcode(status) if pid else None


def find_marked(mark: Path) -> list[ProcessIdentity]:
    """Return the living processes that carry the plane's mark, this one excepted."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for folder in _PROC.iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                process = identify(int(folder.name))
                if process is not None:
                    found.append(process)
    return found


def command_of(process: ProcessIdentity) -> list[str]:
    """Return a process's program and arguments; none where it ended."""
    with contextlib.suppress(OSError):
        return (_PROC / str(process.pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
    return []


def resident_bytes(process: ProcessIdentity) -> int:
    """Return the memory that a process has of the machine's; 0 where it ended.

    Source:
        proc_pid_statm(5): the second field, in pages.
    """
    try:
        fields = (_PROC / str(process.pid) / "statm").read_text(encoding="ascii").split()
    except OSError:
        return 0
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


def keep_to_cores(process: ProcessIdentity, count: int, first: int) -> None:
    """Let a process run on so many cores alone, chosen by turns from the first on."""
    cores = sorted(os.sched_getaffinity(0))
    with contextlib.suppress(ProcessLookupError):
        os.sched_setaffinity(
            process.pid, {cores[(first + n) % len(cores)] for n in range(min(count, len(cores)))}
        )


def send_signal(process: ProcessIdentity, number: signal.Signals) -> None:
    """Signal that very process, or nobody."""
    with contextlib.suppress(ProcessLookupError):
        # The descriptor stands for the process that has the number now; then it is asked who that is.
        descriptor = os.pidfd_open(process.pid)
        try:
            if is_alive(process):
                signal.pidfd_send_signal(descriptor, number)
        finally:
            os.close(descriptor)


def stop_processes(processes: Iterable[ProcessIdentity], patience_seconds: float) -> None:
    """End processes: all are asked at once, and those that are still there after a while are killed."""
    left = [process for process in processes if is_alive(process)]
    for number in (signal.SIGTERM, signal.SIGKILL):
        for process in left:
            send_signal(process, number)
        deadline = time.monotonic() + patience_seconds
        while left and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)
            for process in left:
                reap(process)
            left = [process for process in left if is_alive(process)]


@functools.cache
def _boot() -> str:
    return (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
