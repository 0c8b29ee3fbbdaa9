"""The folder of one task of a run: its log, its outputs, its working directory."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
from pathlib import Path

from mulgil.artifacts import write_text
from mulgil.errors import MulgilError
from mulgil.local.plane.processes import ProcessIdentity, identify, is_alive
from mulgil.local.results import Values

_DONE = "done.json"
_PROCESS = "process.json"


def log_of(run_folder: Path, task: str, attempt: int | None = None) -> Path:
    """Return the file that a task's output goes to.

    Args:
        run_folder: The run's folder.
        task: The task's path.
        attempt: One that failed and was tried again; the last one where it is not given.
    """
    return run_folder / "tasks" / task / ("log.txt" if attempt is None else f"log-of-attempt-{attempt}.txt")


class TaskFolder:
    """The folder of one task.

    Args:
        run_folder: The run's folder.
        task: The task's path.
    """

    def __init__(self, run_folder: Path, task: str) -> None:
        self._run_folder = run_folder
        self._task = task
        self.log = log_of(run_folder, task)

    @property
    def path(self) -> Path:
        """The folder, in which the step also works."""
        return self.log.parent

    def place_artifact(self, name: str) -> Path:
        """Return where an output artifact goes."""
        return self.path / "artifacts" / name

    def place_parameter(self, name: str) -> Path:
        """Return the file that an output parameter goes to."""
        return self.path / "parameters" / name

    def begin(self) -> None:
        """Make the folder ready for an attempt: nothing of one that was cut short is left but its logs."""
        self._end_orphan()
        for entry in self.path.iterdir() if self.path.is_dir() else ():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif not entry.match("log-of-attempt-*.txt"):
                entry.unlink()
        for place in ("artifacts", "parameters"):
            (self.path / place).mkdir(parents=True, exist_ok=True)

    def begin_again(self, failed_attempt: int) -> None:
        """Keep the log of an attempt that failed, and nothing else of it."""
        self.log.replace(log_of(self._run_folder, self._task, failed_attempt))
        self.begin()

    def remember_process(self, pid: int) -> None:
        """Write down who leads the step's process group, for a runner that comes after a killed one."""
        identity = identify(pid)
        if identity is not None:
            identity.write(self.path / _PROCESS)

    def finish(self, outputs: Values) -> None:
        """Mark the outputs as whole."""
        done = {"parameters": dict(outputs.parameters), "artifacts": sorted(outputs.artifacts)}
        write_text(self.path / _DONE, json.dumps(done))

    def read_finished(self) -> Values | None:
        """Return the outputs of a task that finished; `None` where it did not."""
        try:
            done = json.loads((self.path / _DONE).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return Values(done["parameters"], {name: self.place_artifact(name) for name in done["artifacts"]})

    def _end_orphan(self) -> None:
        path = self.path / _PROCESS
        if path.is_file():
            process = ProcessIdentity.read(path)
            if is_alive(process):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)

    def note(self, error: MulgilError) -> None:
        """Write to the task's log why it failed, beside what the step itself wrote."""
        self.path.mkdir(parents=True, exist_ok=True)
        with self.log.open("a", encoding="utf-8") as log:
            log.write(f"{type(error).__name__}: {error}\n")
