"""The live display of a run: a table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table

from mulgil.local.run_store import RunRecord, State, TaskRecord

_MARKS = {
    State.SUCCEEDED: "[green]✓[/]",
    State.FAILED: "[red]✗[/]",
    State.SKIPPED: "[dim]–[/]",
    State.BLOCKED: "[dim]·[/]",
}


class Progress(Protocol):
    """Follows a run; entered while it lasts."""

    def announce(self, run: RunRecord, tasks: tuple[str, ...]) -> None:
        """Show that a run starts."""

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
        self._tasks: dict[str, TaskRecord | None] = {}
        self._live = Live(console=console, get_renderable=self._table, refresh_per_second=8)
        self._spinner = Spinner("dots")
        self._console = console

    def announce(self, run: RunRecord, tasks: tuple[str, ...]) -> None:
        """Show that a run starts."""
        self._console.print(f"run [bold]{run.run_id}[/]")
        self._tasks = dict.fromkeys(tasks)

    def observe(self, task: TaskRecord) -> None:
        """Show a task's start or end."""
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
        for name, task in list(self._tasks.items()):
            if task is None:
                table.add_row("[dim]·[/]", f"[dim]{short_name(name)}[/]", "")
            elif task.state is State.RUNNING:
                table.add_row(self._spinner, f"[bold]{short_name(name)}[/]", f"{duration(task):.1f} s")
            else:
                table.add_row(_MARKS[task.state], short_name(name), outcome(task))
        return table


class PlainProgress:
    """A line for each start and end."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def announce(self, run: RunRecord, tasks: tuple[str, ...]) -> None:
        """Show that a run starts."""
        self._console.print(f"run {run.run_id}: {len(tasks)} steps")

    def observe(self, task: TaskRecord) -> None:
        """Show a task's start or end."""
        if task.state is State.RUNNING:
            self._console.print(f"  {short_name(task.task)}: started")
        else:
            self._console.print(f"  {short_name(task.task)}: {task.state} {outcome(task)}".rstrip())

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


def short_name(task: str) -> str:
    """Return a task's own name, without those of the graphs around it."""
    return task.rpartition("/")[2]


def duration(task: TaskRecord) -> float:
    """Return how long a task took, or has taken so far, in seconds."""
    return (task.ended_at or time.time()) - task.started_at


def outcome(task: TaskRecord) -> str:
    """Write how a task ended, such as `3.2 s` or `3.2 s, exit code 3`."""
    if task.state in (State.SKIPPED, State.BLOCKED):
        return "(its condition is false)" if task.state is State.SKIPPED else "(a step before it failed)"
    code = f", exit code {task.exit_code}" if task.exit_code else ""
    return f"{duration(task):.1f} s{code}"
