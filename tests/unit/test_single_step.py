"""`mulgil step`, on small pipelines of real processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from kfp import dsl
from small_pipelines import compile_function, shell
from typer.testing import CliRunner

import components.ingest_data
from mulgil.artifacts import fingerprint_files
from mulgil.cli import app
from mulgil.errors import InputError
from mulgil.home import SOURCE_ROOT
from mulgil.local.launch import folder_of, launch, open_run_store


@dsl.container_component
def write_note(text: str, note: dsl.Output[dsl.Artifact]):
    return shell('echo "$0" > "$1"', text, note.path)


@dsl.container_component
def copy_if(path: str, note: dsl.Input[dsl.Artifact], copied: dsl.Output[dsl.Artifact]):
    return shell('cat "$1" > "$2"; echo copying; test -e "$0"', path, note.path, copied.path)


@dsl.container_component
def read_on(copied: dsl.Input[dsl.Artifact]):
    return shell('cat "$0"', copied.path)


def pipeline(path: str):
    copied = copy_if(path=path, note=write_note(text="hello").outputs["note"])
    read_on(copied=copied.outputs["copied"])


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run whose second step failed."""
    monkeypatch.setenv("MULGIL_HOME", str(tmp_path / "home"))
    compiled = compile_function(pipeline, tmp_path)
    parameters = {"path": str(tmp_path / "there")}
    return launch(compiled, "project", parameters, lambda *_: None, lambda _: None).record.run_id


def mulgil_step(*words):
    answer = CliRunner().invoke(app, ["step", *words])
    if isinstance(answer.exception, InputError):
        raise answer.exception
    return answer.exit_code, answer.output


def place_in(printed, name):
    (line,) = [line for line in printed.splitlines() if line.startswith(name)]
    return line.removeprefix(name).strip()


def test_a_step_that_failed_is_run_again_on_the_same_inputs_and_the_run_stays_as_it_was(run, tmp_path):
    folder = folder_of(run)
    before, records = fingerprint_files(folder), open_run_store().list_tasks(run)

    code, printed = mulgil_step(run, "copy-if")
    (tmp_path / "there").touch()
    mended_code, mended = mulgil_step("latest", "copy_if")

    assert (code, mended_code) == (1, 0)
    assert "copying" in printed
    first, second = (place_in(text, "outputs") for text in (printed, mended))
    assert first != second
    assert Path(second, "copied").read_text() == "hello\n"
    assert Path(place_in(mended, "log")).read_text() == "copying\n"
    assert fingerprint_files(folder) == before
    assert open_run_store().list_tasks(run) == records


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["latest", "copy-of"], "Expected: copy-if"),
        (["latest", "read-on"], "did not get so far"),
        (["nobody", "copy-if"], "There is no such run"),
        (["latest", "copy-if", "--pdb"], "needs a terminal"),
    ],
    ids=" ".join,
)
def test_a_mistake_is_told_with_what_would_be_right(run, words, message):
    with pytest.raises(InputError, match=message):
        mulgil_step(*words)


def test_a_step_that_acts_on_what_all_runs_share_is_run_only_when_told(run, monkeypatch):
    monkeypatch.setattr(components.ingest_data, "ACTS_OUTSIDE", True)

    with pytest.raises(InputError, match="--act-outside"):
        mulgil_step(run, "copy-if")
    assert mulgil_step(run, "copy-if", "--act-outside")[0] == 1


def debug(typed):
    flags = ("--project-path", "nowhere", "--dataset-path", "dataset", "--quarantine-path", "quarantine")
    return subprocess.run(
        [sys.executable, "-m", "mulgil.local.debugged_step", "components.ingest_data", *flags],
        input=typed,
        env={**os.environ, "PYTHONPATH": str(SOURCE_ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_debugger_stops_at_the_cores_first_line_and_where_it_fails():
    debugged = debug("c\np 'here'\nq\n")

    stopped, *_ = debugged.stdout.split("(Pdb)")
    assert "components/ingest_data/core.py" in stopped
    assert "'here'" in debugged.stdout
    assert "nowhere" in debugged.stderr
    assert debugged.returncode == 2


def test_a_step_that_was_left_in_the_debugger_did_not_end_well():
    assert debug("q\n").returncode == 130
