"""`mulgil runs`, as it is typed."""

import pytest
from run_folders import Made
from typer.testing import CliRunner

from mulgil.cli import app
from mulgil.errors import InputError
from mulgil.local.launch import folder_of, open_run_store
from mulgil.local.run_names import find_run
from mulgil.local.run_store import State, TaskRecord


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MULGIL_HOME", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


def mulgil(*words):
    answer = CliRunner().invoke(app, ["runs", *words])
    if isinstance(answer.exception, InputError):
        raise answer.exception
    assert answer.exit_code == 0, answer.output
    return answer.output


def test_a_table_in_a_pipe_is_whole_and_starts_at_the_line():
    run = Made(run_id="training-heart-disease-" + "x" * 150).write()

    lines = mulgil("list").splitlines()

    assert lines[0].startswith("RUN ")
    assert lines[0].endswith("DISK")
    assert lines[1].startswith(f"{run.run_id}   training   heart-disease   succeeded   ")
    assert lines[1].endswith("KB")


def test_a_run_is_found_as_latest_and_by_its_name():
    run = Made().write()

    assert find_run(open_run_store(), "latest") == run
    assert find_run(open_run_store(), run.run_id) == run


def test_the_nearest_name_is_suggested():
    run = Made(run_id="training-heart-disease-20260101-100000-ab12").write()

    for typed in ("training-heart-disease-20260101-100000-ab13", "ab12"):
        with pytest.raises(InputError, match=f"Expected: {run.run_id} or latest"):
            find_run(open_run_store(), typed)


def test_latest_of_no_run_says_how_to_start_one():
    with pytest.raises(InputError, match="start one with"):
        find_run(open_run_store(), "latest")


def test_show_tells_the_disk_use_and_every_step():
    Made().write()

    shown = mulgil("show", "latest")

    assert "KB in " in shown
    assert "deploy-model" in shown


def test_what_was_interrupted_unseen_is_said_to_be_and_takes_no_longer():
    run = Made().write()
    open_run_store().write_task(TaskRecord(run.run_id, "unseen", State.INTERRUPTED, 100.0))

    line = next(line for line in mulgil("show", run.run_id).splitlines() if line.startswith("unseen"))

    assert line.split()[:2] == ["unseen", "interrupted"]
    assert " s " not in line


def test_the_log_of_a_step_is_printed_as_it_is():
    Made(failed=("train-model", 4, "[red]one[/]\ntwo")).write()

    assert mulgil("logs", "latest", "train_model") == "[red]one[/]\ntwo\n"
    assert mulgil("logs", "latest").startswith("== ingest-data\ningest-data is done\n== validate-data\n")


def test_an_unknown_step_is_refused_with_those_there_are():
    Made().write()

    with pytest.raises(InputError, match="ingest-data, validate-data"):
        mulgil("logs", "latest", "trian")


def test_report_and_compare_write_pages(tmp_path):
    first, second = Made().write(), Made(run_id="b").write()

    assert str(folder_of(first.run_id) / "report.html") in mulgil("report", first.run_id)
    mulgil("compare", first.run_id, second.run_id, "--output", str(tmp_path / "compare.html"))

    assert (folder_of(first.run_id) / "report.html").is_file()
    assert "Two runs" in (tmp_path / "compare.html").read_text()
    assert "roc_auc" in mulgil("compare", first.run_id, second.run_id)


def test_prune_without_a_limit_deletes_nothing():
    run = Made().write()

    with pytest.raises(InputError, match="--older-than"):
        mulgil("prune")

    assert folder_of(run.run_id).is_dir()


def test_prune_says_first_what_it_would_do_and_then_does_it():
    run = Made().write()

    assert f"would delete {run.run_id}" in mulgil("prune", "--older-than", "1d", "--dry-run")
    assert folder_of(run.run_id).is_dir()
    assert f"deleted {run.run_id}" in mulgil("prune", "--older-than", "1d")
    assert not folder_of(run.run_id).exists()
    assert "No runs yet" in mulgil("list")


def test_a_run_is_deleted_by_its_name():
    run = Made().write()

    assert f"deleted {run.run_id}" in mulgil("delete", run.run_id)
    assert not folder_of(run.run_id).exists()
