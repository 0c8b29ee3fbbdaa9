"""The live display of a run: a table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.spinner import Spinner
from rich.table import Table

from mulgil.local.run_store import RunRecord, State, TaskRecord

_MARKS = {
    State.SUCCEEDED: "[green]✓[/]",
    State.CACHED: "[green]=[/]",
    State.RECONCILED: "[green]=[/]",
    State.FAILED: "[red]✗[/]",
    State.SKIPPED: "[dim]–[/]",
    State.BLOCKED: "[dim]·[/]",
    State.RETRIED: "[yellow]↻[/]",
    State.INTERRUPTED: "[yellow]✗[/]",
}


class Progress(Protocol):
    """Follows a run; entered while it lasts."""

    def announce(self, run: RunRecord, tasks: Mapping[str, str]) -> None:
        """Show that a run starts, and the names of the tasks that are known before, by their paths."""

    def observe(self, task: TaskRecord) -> None:
        """Show a task's start or end."""

    def __enter__(self) -> Self:
        """Begin to display."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the last state on the screen."""


class LiveProgress:
    """A table that is drawn anew several times a second."""

    def __init__(self, console: Console) -> None:
        self._names: dict[str, str] = {}
        self._tasks: dict[str, TaskRecord | None] = {}
        self._live = Live(console=console, get_renderable=self._table, refresh_per_second=8)
        self._spinner = Spinner("dots")
        self._console = console

    def announce(self, run: RunRecord, tasks: Mapping[str, str]) -> None:
        """Show that a run starts."""
        self._console.print(f"run [bold]{run.run_id}[/]")
        self._names = dict(tasks)
        self._tasks = dict.fromkeys(tasks)

    def observe(self, task: TaskRecord) -> None:
        """Show a task's start or end; the tasks of a loop become known only here."""
        self._names[task.task] = task.title
        if task.state in (State.SKIPPED, State.BLOCKED):
            # Of a graph that did not run, the graph alone is shown.
            within = f"{task.task}/"
            self._tasks = {path: known for path, known in self._tasks.items() if not path.startswith(within)}
        self._tasks[task.task] = task

    def __enter__(self) -> Self:
        """Begin to display."""
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the last state on the screen."""
        self._live.stop()

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for path, task in list(self._tasks.items()):
            name = escape(self._names[path])
            if task is None:
                table.add_row("[dim]·[/]", f"[dim]{name}[/]", "")
            elif task.state is State.RUNNING:
                table.add_row(self._spinner, f"[bold]{name}[/]", f"{duration(task):.1f} s")
            else:
                table.add_row(_MARKS[task.state], name, outcome(task))
        return table


class PlainProgress:
    """A line for each start and end."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def announce(self, run: RunRecord, tasks: Mapping[str, str]) -> None:
        """Show that a run starts."""
        self._console.print(f"run {run.run_id}: {len(tasks)} steps")

    def observe(self, task: TaskRecord) -> None:
        """Show a task's start or end."""
        if task.state is State.RUNNING:
            again = f", attempt {task.attempt}" if task.attempt > 1 else ""
            self._console.print(f"  {task.title}: started{again}", markup=False)
        else:
            self._console.print(f"  {task.title}: {task.state} {outcome(task)}".rstrip(), markup=False)

    def __enter__(self) -> Self:
        """Begin to display."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave nothing open."""


def progress_on(console: Console) -> Progress:
    """Choose the display that the console can show."""
    return LiveProgress(console) if console.is_terminal else PlainProgress(console)


def duration(task: TaskRecord) -> float:
    """Return how long a task took, or has taken so far, in seconds."""
    return (task.ended_at or time.time()) - task.started_at


def outcome(task: TaskRecord) -> str:
    """Write how a task ended, such as `3.2 s` or `3.2 s, exit code 3`."""
    if task.state in (State.SKIPPED, State.BLOCKED):
        return "(its condition is false)" if task.state is State.SKIPPED else "(a step before it failed)"
    if task.state is State.CACHED:
        return "(an earlier run had equal inputs)"
    if task.state is State.RECONCILED:
        return "(its store is as an earlier run left it)"
    code = f", exit code {task.exit_code}" if task.exit_code else ""
    return f"{duration(task):.1f} s{code}"
