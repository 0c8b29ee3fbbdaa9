"""The display of a run: what it shows of loops, retries and graphs that did not run."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from mulgil.cli.progress import LiveProgress, PlainProgress
from mulgil.local.run_store import RunRecord, State, TaskRecord

RUN = RunRecord("run-1", "training", "heart-disease", State.RUNNING, {}, 100.0)
KNOWN = {"ingest": "Ingest", "condition-1/deploy": "Deploy", "condition-1/smoke": "Smoke"}
STARTED = TaskRecord("run-1", "for-loop-2/1/train", State.RUNNING, 100.0, display_name="Train")


@pytest.fixture
def show():
    """Announce a run, observe records, and give what stands on the screen."""

    def render(kind, *records):
        console = Console(width=80, file=io.StringIO(), record=True)
        progress = kind(console)
        progress.announce(RUN, KNOWN)
        for record in records:
            progress.observe(record)
        if kind is LiveProgress:
            console.print(progress._table())
        return console.export_text()

    return render


def test_the_tasks_of_a_loop_appear_as_they_come_with_their_iteration(show):
    screen = show(LiveProgress, STARTED, replace(STARTED, state=State.SUCCEEDED, ended_at=103.0))

    assert "✓  Train (1)" in screen
    assert "·  Ingest" in screen


def test_a_graph_that_did_not_run_stands_for_its_tasks(show):
    skipped = TaskRecord("run-1", "condition-1", State.SKIPPED, 100.0, 100.0, display_name="if-deployed")

    screen = show(LiveProgress, skipped)

    assert "if-deployed" in screen
    assert "Deploy" not in screen


@pytest.mark.parametrize("state", [state for state in State if state.is_final])
def test_every_end_is_shown(show, state):
    assert "Train (1)" in show(LiveProgress, replace(STARTED, state=state, ended_at=103.0))


def test_each_attempt_has_a_line_where_the_display_is_plain(show):
    failed = replace(STARTED, state=State.RETRIED, ended_at=101.0, exit_code=75)
    again = replace(STARTED, attempt=2)

    screen = show(PlainProgress, STARTED, failed, again)

    assert screen.splitlines()[1:] == [
        "  Train (1): started",
        "  Train (1): retried 1.0 s, exit code 75",
        "  Train (1): started, attempt 2",
    ]
