"""A run's record and its lock."""

import multiprocessing

import pytest
from small_pipelines import compile_function, fail, say

from mulgil.errors import InputError
from mulgil.local.launch import folder_of, launch, open_run_store, resume
from mulgil.local.process_launcher import ProcessLauncher
from mulgil.local.reuse import StepReuse
from mulgil.local.run_store import RunRecord, State


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MULGIL_HOME", str(tmp_path / "home"))


def start(function, tmp_path, **how):
    return launch(compile_function(function, tmp_path), "project", {}, lambda *_: None, lambda _: None, **how)


def test_a_run_whose_process_is_gone_stands_as_interrupted():
    open_run_store().write_run(RunRecord("gone", "training", "project", State.RUNNING, {}, 1.0))

    assert open_run_store().read_run("gone").state is State.INTERRUPTED


def _hold(run_id, is_held, may_end):
    from mulgil.local.launch import _alone

    with _alone(run_id, folder_of(run_id)):
        is_held.set()
        may_end.wait(30)


def test_a_run_that_another_process_runs_stands_as_running():
    context = multiprocessing.get_context("spawn")
    is_held, may_end = context.Event(), context.Event()
    open_run_store().write_run(RunRecord("busy", "training", "project", State.FAILED, {}, 1.0))
    other = context.Process(target=_hold, args=("busy", is_held, may_end))
    other.start()
    try:
        assert is_held.wait(30)
        open_run_store().write_run(RunRecord("busy", "training", "project", State.RUNNING, {}, 1.0))
        assert open_run_store().read_run("busy").state is State.RUNNING
    finally:
        may_end.set()
        other.join(30)
    assert open_run_store().read_run("busy").state is State.INTERRUPTED


def test_a_failed_run_is_resumed_under_its_own_name(tmp_path):
    def pipeline():
        fail(code=3)

    failed = start(pipeline, tmp_path)
    again = resume(failed.record.run_id, lambda *_: None, lambda _: None)

    assert again.record.run_id == failed.record.run_id
    assert again.record.state is State.FAILED


def test_a_run_that_succeeded_or_never_was_is_not_resumed(tmp_path):
    def pipeline():
        say(text="hello")

    succeeded = start(pipeline, tmp_path)

    with pytest.raises(InputError, match="nothing to resume"):
        resume(succeeded.record.run_id, lambda *_: None, lambda _: None)
    with pytest.raises(InputError, match="run=nobody"):
        resume("nobody", lambda *_: None, lambda _: None)


@pytest.mark.parametrize("is_cache_read", [True, False])
def test_a_run_goes_on_with_the_cache_or_without_as_it_was_begun(tmp_path, monkeypatch, is_cache_read):
    seen = []

    class Noting(StepReuse):
        def __init__(self, *args, is_cache_read, **others):
            seen.append(is_cache_read)
            super().__init__(*args, is_cache_read=is_cache_read, **others)

    def pipeline():
        fail(code=3)

    monkeypatch.setattr("mulgil.local.launch.StepReuse", Noting)
    failed = start(pipeline, tmp_path, is_cache_read=is_cache_read)
    resume(failed.record.run_id, lambda *_: None, lambda _: None)

    assert seen == [is_cache_read, is_cache_read]


def test_a_run_of_a_cluster_does_not_go_on_here(tmp_path):
    """As `mulgil submit --wait` records one that failed."""
    (folder_of("a-cluster-run")).mkdir(parents=True)
    (folder_of("a-cluster-run") / "pipeline.yaml").touch()
    open_run_store().write_run(RunRecord("a-cluster-run", "training", "rows", State.FAILED, {}, 1.0, 2.0))

    with pytest.raises(InputError, match="--retry a-cluster-run"):
        resume("a-cluster-run", lambda *_: None, lambda _: None)


def test_a_resumed_run_imports_nothing_for_what_it_had_finished(tmp_path, monkeypatch):
    expected = []

    class Noting(ProcessLauncher):
        def __init__(self, folder, images):
            expected.append(len(images))
            super().__init__(folder, images)

    def pipeline():
        fail(code=3).after(say(text="hello"))

    monkeypatch.setattr("mulgil.local.platforms.ProcessLauncher", Noting)
    failed = start(pipeline, tmp_path)
    resume(failed.record.run_id, lambda *_: None, lambda _: None)

    assert expected == [2, 1]
