"""One container step, run as a process in the environment that stands for its image."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path

from mulgil.errors import PermanentError, describe
from mulgil.local.environments import find_environment
from mulgil.local.pipeline_spec import Container
from mulgil.local.placeholders import TaskContext, resolve_command

# Time for a step to end by itself when the run is interrupted; chosen by eye.
_GRACE_SECONDS = 5.0


@dataclass
class StepProcesses:
    """The processes of a run's steps, so that an interrupted run can end them all."""

    _running: set[subprocess.Popen[bytes]] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _is_stopped: bool = False

    def run(self, container: Container, context: TaskContext, folder: Path, log_path: Path) -> int:
        """Run a step to its end.

        Args:
            container: Its command.
            context: What its placeholders stand for.
            folder: Its working directory.
            log_path: Where its output goes.

        Returns:
            Its exit code; negative where a signal ended it.
        """
        command = resolve_command((*container.command, *container.args), context)
        environment = find_environment(container.image)
        variables = environment.variables | {variable.name: variable.value for variable in container.env}
        with log_path.open("wb") as log:
            process = self._start(command, variables, folder, log.fileno())
        try:
            return process.wait()
        finally:
            with self._lock:
                self._running.discard(process)

    def stop(self) -> None:
        """End every step, and start no more."""
        with self._lock:
            self._is_stopped = True
            running = list(self._running)
        for number in (signal.SIGTERM, signal.SIGKILL):
            for process in running:
                # The step leads its own process group; what it started goes with it.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, number)
            for process in running:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_GRACE_SECONDS)

    def _start(
        self, command: list[str], variables: dict[str, str], folder: Path, log: int
    ) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._is_stopped:
                raise PermanentError("The run was interrupted.")
            try:
                process = subprocess.Popen(
                    command,
                    env=variables,
                    cwd=folder,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    process_group=0,
                )
            except OSError as exc:
                raise PermanentError(
                    describe(f"Cannot start {command[0]}: {exc.strerror}", received=" ".join(command))
                ) from exc
            self._running.add(process)
        return process
