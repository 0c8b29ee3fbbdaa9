"""The record of every run on this machine, in SQLite."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from mulgil.errors import InputError, describe


class State(StrEnum):
    """How a run, a task, or an attempt of it stands."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    CACHED = "cached"
    RECONCILED = "reconciled"
    FAILED = "failed"
    SKIPPED = "skipped"
    BLOCKED = "blocked"
    RETRIED = "retried"
    INTERRUPTED = "interrupted"

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen."""
        return self is not State.RUNNING


@dataclass(frozen=True)
class RunRecord:
    """One run of a pipeline.

    Attributes:
        run_id: Its name, unique on this machine.
        pipeline: The pipeline's name.
        project: The project's name.
        state: How it stands.
        parameters: The pipeline's parameters.
        started_at: Seconds since the epoch.
        ended_at: Seconds since the epoch; `None` while it runs.
    """

    run_id: str
    pipeline: str
    project: str
    state: State
    parameters: Mapping[str, Any]
    started_at: float
    ended_at: float | None = None


@dataclass(frozen=True)
class TaskRecord:
    """One attempt of a task of a run; most tasks have one.

    Attributes:
        run_id: The run.
        task: Its path: its name, with those of the graphs around it and the numbers of iterations before
            slashes.
        state: `reconciled` where nothing was to be done in the store that the task acts on; `retried` where
            the attempt failed and another one follows; `skipped` where the task's condition was false,
            `blocked` where something before it failed.
        started_at: Seconds since the epoch.
        ended_at: Seconds since the epoch; `None` while it runs.
        exit_code: Of its process, where one ran.
        attempt: Counted from 1.
        display_name: What its author calls it.
    """

    run_id: str
    task: str
    state: State
    started_at: float
    ended_at: float | None = None
    exit_code: int | None = None
    attempt: int = 1
    display_name: str = ""

    @property
    def title(self) -> str:
        """What a reader knows it by, with the numbers of its iterations, such as `train (2)`."""
        parts = self.task.split("/")
        iterations = [part for part in parts if part.isdigit()]
        name = self.display_name or next(part for part in reversed(parts) if not part.isdigit())
        return f"{name} ({', '.join(iterations)})" if iterations else name


_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    run_id TEXT PRIMARY KEY, pipeline TEXT NOT NULL, project TEXT NOT NULL, state TEXT NOT NULL,
    parameters TEXT NOT NULL, started_at REAL NOT NULL, ended_at REAL
) STRICT;
CREATE TABLE IF NOT EXISTS attempts (
    run_id TEXT NOT NULL REFERENCES runs, task TEXT NOT NULL, state TEXT NOT NULL,
    started_at REAL NOT NULL, ended_at REAL, exit_code INTEGER,
    attempt INTEGER NOT NULL, display_name TEXT NOT NULL, PRIMARY KEY (run_id, task, attempt)
) STRICT;
"""


class RunStore:
    """Reads and writes the records. Safe to use from several threads and processes at once.

    Args:
        path: The database's file; it is made where it does not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._connect() as connection:
            # Readers such as `runs list` are not held up by a run that writes.
            # SQLite does not wait for this lock. Who holds it sets the same mode, and the file keeps it.
            with suppress(sqlite3.OperationalError):
                connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(_SCHEMA)

    def write_run(self, run: RunRecord) -> None:
        """Insert or replace a run's record."""
        with self._connect() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    run.run_id,
                    run.pipeline,
                    run.project,
                    run.state,
                    json.dumps(dict(run.parameters)),
                    run.started_at,
                    run.ended_at,
                ),
            )

    def write_task(self, task: TaskRecord) -> None:
        """Insert or replace the record of a task's attempt."""
        with self._connect() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO attempts VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    task.run_id,
                    task.task,
                    task.state,
                    task.started_at,
                    task.ended_at,
                    task.exit_code,
                    task.attempt,
                    task.display_name,
                ),
            )

    def list_runs(self) -> list[RunRecord]:
        """Return every run, the newest first."""
        with self._connect() as connection:
            rows = connection.execute("SELECT * FROM runs ORDER BY started_at DESC").fetchall()
        return [_run(row) for row in rows]

    def read_run(self, run_id: str) -> RunRecord:
        """Return one run.

        Raises:
            InputError: There is no such run.
        """
        with self._connect() as connection:
            row = connection.execute("SELECT * FROM runs WHERE run_id = ?", (run_id,)).fetchone()
        if row is None:
            raise InputError(
                describe("There is no such run", received=f"run={run_id}", next_step="see `mulgil runs list`")
            )
        return _run(row)

    def list_tasks(self, run_id: str) -> list[TaskRecord]:
        """Return the attempts of a run's tasks in the order in which they started."""
        with self._connect() as connection:
            rows = connection.execute(
                "SELECT * FROM attempts WHERE run_id = ? ORDER BY started_at", (run_id,)
            ).fetchall()
        return [TaskRecord(**{**dict(row), "state": State(row["state"])}) for row in rows]

    def interrupt_run(self, run_id: str, ended_at: float | None = None) -> None:
        """Note that a run and its attempts go on no longer; one that has ended meanwhile stays as it ended.

        Args:
            run_id: The run.
            ended_at: Seconds since the epoch; `None` where nobody saw it end.
        """
        with self._connect() as connection:
            for table in ("runs", "attempts"):
                connection.execute(
                    f"UPDATE {table} SET state = ?, ended_at = ? WHERE run_id = ? AND state = ?",
                    (State.INTERRUPTED, ended_at, run_id, State.RUNNING),
                )

    def delete_run(self, run_id: str) -> None:
        """Remove a run's record and those of its tasks; one that is not there is gone already."""
        with self._connect() as connection:
            connection.execute("DELETE FROM attempts WHERE run_id = ?", (run_id,))
            connection.execute("DELETE FROM runs WHERE run_id = ?", (run_id,))

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._path, timeout=30)) as connection:
            connection.row_factory = sqlite3.Row
            with connection:
                yield connection


def _run(row: sqlite3.Row) -> RunRecord:
    fields = {**dict(row), "state": State(row["state"]), "parameters": json.loads(row["parameters"])}
    return RunRecord(**fields)
