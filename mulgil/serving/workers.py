"""Several workers on one port: started, started again when one dies, and drained together.

Each is a process of its own that the kernel gives connections to (SO_REUSEPORT): none waits for another, and
a crash costs one worker's requests. The process above loads no model.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from mulgil.errors import InputError, MulgilError, PermanentError, TemporaryError, describe
from mulgil.serving.logs import write_event
from mulgil.serving.options import ServerOptions
from mulgil.serving.shared_numbers import IS_READY, PID, RESTARTS, SUPERVISOR, SharedNumbers

_LOOK_SECONDS = 0.05
# Before a worker that died is started again: doubled with each death, until one has lived for a minute.
_FIRST_PAUSE_SECONDS = 0.25
_LONGEST_PAUSE_SECONDS = 30.0
_HEALTHY_SECONDS = 60.0
# What a worker may take to end beyond its draining, before it is killed.
_PATIENCE_SECONDS = 15.0


@dataclass
class _Worker:
    place: int
    process: subprocess.Popen[bytes]
    since: float
    deaths: int = 0
    again_at: float | None = field(default=None)


class Supervisor:
    """Keeps a server's workers alive.

    Args:
        options: What they serve, and how.
        workers: How many there are.
        command: What starts this process; with `--worker` behind it, a worker.
    """

    def __init__(self, options: ServerOptions, workers: int, command: Sequence[str]) -> None:
        self._options = options
        self._command = list(command)
        self._memory = SharedNumbers.make_memory(workers)
        self._numbers = SharedNumbers(workers, descriptor=self._memory)
        self._was_ready = False
        self._is_told_to_stop = False
        self._workers: list[_Worker] = []

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT.

        Raises:
            MulgilError: A worker could not serve from the beginning; its own log says why, and the error's
                exit code is its own.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        with contextlib.ExitStack() as ports:
            for port in (self._options.http_port, self._options.grpc_port):
                if port is not None:
                    ports.enter_context(_reserve(self._options.host, port))
            self._workers = [self._start(place) for place in range(self._numbers.workers)]
            try:
                while not self._is_told_to_stop:
                    self._look()
                    time.sleep(_LOOK_SECONDS)
            finally:
                self._end_all()

    def _stop(self, *_: object) -> None:
        self._is_told_to_stop = True

    def _start(self, place: int) -> _Worker:
        row = self._numbers.row(place)
        row[IS_READY], row[SUPERVISOR] = 0.0, os.getpid()
        process = subprocess.Popen(
            [*self._command, f"--worker={place}", f"--worker-memory={self._memory}"],
            pass_fds=[self._memory],
        )
        return _Worker(place, process, time.monotonic())

    def _look(self) -> None:
        now = time.monotonic()
        for worker in self._workers:
            row = self._numbers.row(worker.place)
            self._was_ready = self._was_ready or row[IS_READY] == 1.0
            if worker.again_at is None:
                code = worker.process.poll()
                if code is not None and not self._is_told_to_stop:
                    row[PID] = row[IS_READY] = 0.0
                    self._bury(worker, code, now)
            elif now >= worker.again_at:
                row[RESTARTS] += 1.0
                deaths = worker.deaths
                self._workers[worker.place] = again = self._start(worker.place)
                again.deaths = deaths

    def _bury(self, worker: _Worker, code: int, now: float) -> None:
        """Decide what a worker's end means: nobody was ever ready, or it is to be started again."""
        if not self._was_ready:
            raise _explain(code)
        worker.deaths = 0 if now - worker.since > _HEALTHY_SECONDS else worker.deaths + 1
        pause = min(_FIRST_PAUSE_SECONDS * 2 ** min(worker.deaths, 10), _LONGEST_PAUSE_SECONDS)
        worker.again_at = now + pause
        write_event(
            f"worker {worker.place} ended with {_name(code)}; started again in {pause:g} s",
            level="error",
            worker=worker.place,
            code=code,
        )

    def _end_all(self) -> None:
        living = [worker.process for worker in self._workers if worker.process.poll() is None]
        for process in living:
            process.terminate()
        deadline = time.monotonic() + self._options.drain_seconds + _PATIENCE_SECONDS
        for process in living:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def find_command() -> list[str]:
    """Return what started this process, the interpreter's own flags included."""
    return [sys.executable, *sys.orig_argv[1:]]


def _reserve(host: str, port: int) -> socket.socket:
    """Hold a port for the workers, without listening on it.

    Raises:
        TemporaryError: It is taken.
        PermanentError: The address is not one of this machine's.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # Shared with the workers, it would be shared with another server of the same user too.
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
        held = socket.socket(family)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(address)
    except OSError as exc:
        kind = TemporaryError if exc.errno == errno.EADDRINUSE else PermanentError
        raise kind(
            describe(f"Cannot listen on {host}:{port}", received=str(exc), next_step="choose another port")
        ) from exc
    return held


def _explain(code: int) -> MulgilError:
    """Return the error whose exit code is the worker's own."""
    message = describe(
        f"No worker could serve: one ended with {_name(code)} before any was ready",
        next_step="read its message above",
    )
    kinds = {kind.exit_code: kind for kind in (InputError, TemporaryError)}
    return kinds.get(code, PermanentError)(message)


def _name(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {-code}"
