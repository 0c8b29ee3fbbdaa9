"""The record of every run."""

import threading
from dataclasses import replace

import pytest

from mulgil.errors import InputError
from mulgil.local.run_store import RunRecord, RunStore, State, TaskRecord

RUN = RunRecord("run-1", "training", "heart-disease", State.RUNNING, {"is_deployed": True}, 100.0)


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "runs.sqlite")


def test_what_was_written_is_read(store):
    task = TaskRecord("run-1", "ingest-data", State.RUNNING, 101.0)
    store.write_run(RUN)
    store.write_task(task)
    store.write_task(replace(task, state=State.FAILED, ended_at=103.0, exit_code=2))
    store.write_run(replace(RUN, state=State.FAILED, ended_at=104.0))

    assert store.read_run("run-1") == replace(RUN, state=State.FAILED, ended_at=104.0)
    assert store.list_tasks("run-1") == [replace(task, state=State.FAILED, ended_at=103.0, exit_code=2)]


def test_every_attempt_of_a_task_is_kept(store):
    first = TaskRecord("run-1", "train", State.RETRIED, 101.0, 102.0, exit_code=75, display_name="Train it")
    second = replace(first, state=State.SUCCEEDED, started_at=103.0, exit_code=0, attempt=2)
    for attempt in (second, first):
        store.write_task(attempt)

    assert store.list_tasks("run-1") == [first, second]


@pytest.mark.parametrize(
    ("task", "display_name", "title"),
    [
        ("train", "", "train"),
        ("inner/train", "Train it", "Train it"),
        ("for-loop-2/1/for-loop-3/0/train", "", "train (1, 0)"),
        ("for-loop-2/1", "each model", "each model (1)"),
        ("for-loop-2/1", "", "for-loop-2 (1)"),
    ],
)
def test_a_task_is_known_by_its_display_name_and_its_iterations(task, display_name, title):
    assert TaskRecord("run-1", task, State.RUNNING, 101.0, display_name=display_name).title == title


def test_the_newest_run_stands_first(store):
    store.write_run(RUN)
    store.write_run(replace(RUN, run_id="run-2", started_at=200.0))

    assert [run.run_id for run in store.list_runs()] == ["run-2", "run-1"]


def test_what_ran_when_a_run_was_interrupted_is_interrupted_too_and_the_rest_stays(store):
    done = TaskRecord("run-1", "ingest-data", State.SUCCEEDED, 101.0, 102.0, exit_code=0)
    under_way = TaskRecord("run-1", "train-model", State.RUNNING, 103.0)
    store.write_run(RUN)
    for task in (done, under_way):
        store.write_task(task)

    store.interrupt_run("run-1", 104.0)

    assert store.read_run("run-1") == replace(RUN, state=State.INTERRUPTED, ended_at=104.0)
    assert store.list_tasks("run-1") == [done, replace(under_way, state=State.INTERRUPTED, ended_at=104.0)]


def test_a_run_that_ended_while_it_was_looked_at_stays_as_it_ended(store):
    ended = replace(RUN, state=State.SUCCEEDED, ended_at=104.0)
    store.write_run(ended)

    store.interrupt_run("run-1")

    assert store.read_run("run-1") == ended


def test_an_unknown_run_is_named(store):
    with pytest.raises(InputError, match="run=run-9"):
        store.read_run("run-9")


def test_two_stores_on_one_file_write_at_once(tmp_path):
    def write(number):
        store = RunStore(tmp_path / "runs.sqlite")
        for i in range(20):
            store.write_run(replace(RUN, run_id=f"run-{number}-{i}"))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(RunStore(tmp_path / "runs.sqlite").list_runs()) == 80
