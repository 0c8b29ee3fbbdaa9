"""The step cache, the resumption of a run, and the plan, on small pipelines of real processes."""

import os
import random
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from kfp import dsl
from small_pipelines import IMAGE, compile_function, fail, read, run_function, runner_of, shell

from mulgil.artifacts import QuarantineSummary, fingerprint_files
from mulgil.errors import NotReconciledError
from mulgil.home import SOURCE_ROOT
from mulgil.local import reuse
from mulgil.local.cache.output_store import OutputStore
from mulgil.local.cache.step_key import StepKey, explain_difference
from mulgil.local.pipeline_spec import parse_pipeline
from mulgil.local.plan import Action, plan_run
from mulgil.local.run_store import State


@dsl.container_component
def note_count(rows: int, note: dsl.Output[dsl.Artifact]):
    # It tells each time that it was run: the file outlives the run's folder.
    return shell('echo "$0" > "$1"; echo x >> "$HOME/told"', rows, note.path)


@dsl.container_component
def quarantine_until(due: str, quarantine: dsl.Output[dsl.Artifact]):
    summary = """mkdir "$1"; printf '{"reasons": [], "due": "%s"}' "$0" > "$1/summary.json" """
    return shell(f'{summary}; echo x >> "$HOME/told"', due, quarantine.path)


@dsl.container_component
def copy(note: dsl.Input[dsl.Artifact], copied: dsl.Output[dsl.Artifact]):
    return shell('cat "$0" > "$1"; echo y >> "$HOME/told"', note.path, copied.path)


@dsl.container_component
def fail_unless(path: str, note: dsl.Input[dsl.Artifact]):
    return shell('test -e "$0"', path, note.path)


@pytest.fixture
def told(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    return lambda: (tmp_path / "told").read_text().split() if (tmp_path / "told").exists() else []


def two_steps(rows: int = 3):
    copy(note=note_count(rows=rows).outputs["note"])


def start(compiled, folder, run_id, *, is_cache_read=True, **parameters):
    observed = []
    runner = runner_of(compiled, folder, observed.append, run_id=run_id, is_cache_read=is_cache_read)
    return runner.run(parameters), {task.task: task.state for task in observed}


def test_equal_inputs_are_not_run_twice(tmp_path, told):
    compiled = compile_function(two_steps, tmp_path)
    first, _ = start(compiled, tmp_path, "first")
    second, states = start(compiled, tmp_path, "second")

    assert told() == ["x", "y"]
    assert states == {"note-count": State.CACHED, "copy": State.CACHED}
    contents = [run.find_artifact("copy", "copied").read_text() for run in (first, second)]
    assert contents == ["3\n", "3\n"]


def test_another_parameter_runs_the_step_and_what_follows_from_it(tmp_path, told):
    compiled = compile_function(two_steps, tmp_path)
    start(compiled, tmp_path, "first")
    _, states = start(compiled, tmp_path, "second", rows=4)

    assert states == {"note-count": State.SUCCEEDED, "copy": State.SUCCEEDED}


def test_a_step_that_gives_the_same_as_before_spares_what_follows(tmp_path, told):
    def pipeline(rows: int, text: str):
        counted = note_count(rows=rows).set_env_variable("TEXT", "a")
        copy(note=counted.outputs["note"])

    def changed(rows: int, text: str):
        counted = note_count(rows=rows).set_env_variable("TEXT", "b")
        copy(note=counted.outputs["note"])

    start(compile_function(pipeline, tmp_path), tmp_path, "first", rows=1, text="")
    _, states = start(compile_function(changed, tmp_path), tmp_path, "second", rows=1, text="")

    assert states == {"note-count": State.SUCCEEDED, "copy": State.CACHED}


def test_without_the_cache_everything_runs(tmp_path, told):
    compiled = compile_function(two_steps, tmp_path)
    start(compiled, tmp_path, "first")
    start(compiled, tmp_path, "second", is_cache_read=False)

    assert told() == ["x", "y", "x", "y"]


def test_a_step_that_must_not_be_cached_runs_each_time(tmp_path, told):
    def pipeline():
        note_count(rows=1).set_caching_options(False)

    compiled = compile_function(pipeline, tmp_path)
    start(compiled, tmp_path, "first")
    start(compiled, tmp_path, "second")

    assert told() == ["x", "x"]


@pytest.fixture
def store(monkeypatch):
    """What is to be seen in the store that a step acts on; an error stands for what cannot be told."""
    seen = {"facts": {"rows": "1"}}

    def observe(step, outputs):
        if isinstance(seen["facts"], Exception):
            raise seen["facts"]
        return dict(seen["facts"])

    monkeypatch.setattr(reuse, "observe", observe)
    return seen


@pytest.mark.parametrize(
    ("facts", "state", "reason"),
    [
        ({"rows": "1"}, State.RECONCILED, "nothing to do"),
        ({"rows": "2"}, State.SUCCEEDED, "its store changed since: rows"),
        (NotReconciledError("there is no store"), State.SUCCEEDED, "there is no store"),
    ],
    ids=["unchanged", "changed", "gone"],
)
def test_a_step_that_acts_on_a_store_runs_unless_the_store_is_as_it_left_it(
    tmp_path, told, store, facts, state, reason
):
    def pipeline():
        note_count(rows=1).set_caching_options(False)

    compiled = compile_function(pipeline, tmp_path)
    start(compiled, tmp_path, "first")
    store["facts"] = facts

    ((action, reasons),) = plan(compiled, tmp_path).values()
    _, states = start(compiled, tmp_path, "second")

    assert action is Action.RECONCILE
    assert reason in " ".join(reasons)
    assert states == {"note-count": state}
    assert told() == (["x"] if state is State.RECONCILED else ["x", "x"])


def test_a_step_whose_store_could_not_be_seen_when_it_ended_runs_again(tmp_path, told, store):
    def pipeline():
        note_count(rows=1).set_caching_options(False)

    compiled = compile_function(pipeline, tmp_path)
    kept, store["facts"] = store["facts"], NotReconciledError("another run changed it")
    start(compiled, tmp_path, "first")
    store["facts"] = kept
    _, states = start(compiled, tmp_path, "second")

    assert states == {"note-count": State.SUCCEEDED}


def test_outputs_that_were_good_until_a_time_are_taken_until_it_comes(tmp_path, told):
    def pipeline():
        quarantine_until(due=(datetime.now(UTC) + timedelta(days=1)).isoformat())

    compiled = compile_function(pipeline, tmp_path)
    start(compiled, tmp_path, "first")
    _, states = start(compiled, tmp_path, "second")
    assert states == {"quarantine-until": State.CACHED}
    for kept in tmp_path.glob("**/artifacts/quarantine/summary.json"):
        summary = QuarantineSummary.read(kept)
        kept.unlink()
        summary.model_copy(update={"due": datetime.now(UTC)}).write(kept)
    ((action, reasons),) = plan(compiled, tmp_path).values()
    _, states = start(compiled, tmp_path, "third")

    assert action is Action.RUN
    assert "its outputs were good until" in " ".join(reasons)
    assert states == {"quarantine-until": State.SUCCEEDED}
    assert told() == ["x", "x"]


def test_without_the_cache_a_step_runs_whatever_its_store_shows(tmp_path, told, store):
    def pipeline():
        note_count(rows=1).set_caching_options(False)

    compiled = compile_function(pipeline, tmp_path)
    start(compiled, tmp_path, "first")
    start(compiled, tmp_path, "second", is_cache_read=False)

    assert told() == ["x", "x"]


def test_a_step_that_names_its_run_is_never_taken_from_another(tmp_path, told):
    @dsl.container_component
    def name_run(run: str, note: dsl.Output[dsl.Artifact]):
        return shell('echo "$0" > "$1"', run, note.path)

    def pipeline():
        read(note=name_run(run=dsl.PIPELINE_JOB_NAME_PLACEHOLDER).outputs["note"])

    compiled = compile_function(pipeline, tmp_path)
    results = [start(compiled, tmp_path, name)[0] for name in ("first", "second")]

    assert [run.find_artifact("name-run", "note").read_text() for run in results] == ["first\n", "second\n"]


def test_changed_code_of_a_component_runs_it_again(tmp_path, told, monkeypatch):
    from mulgil.local.cache import keys

    compiled = compile_function(two_steps, tmp_path)
    start(compiled, tmp_path, "first")
    monkeypatch.setattr(
        keys, "fingerprint_code", lambda component: {"components/ingest_data/core.py": "other"}
    )
    _, states = start(compiled, tmp_path, "second")

    assert set(states.values()) == {State.SUCCEEDED}


def test_a_resumed_run_repeats_no_finished_step(tmp_path, told):
    def pipeline(path: str):
        counted = note_count(rows=1)
        fail_unless(path=path, note=counted.outputs["note"])

    compiled = compile_function(pipeline, tmp_path)
    failed, _ = start(compiled, tmp_path, "run", is_cache_read=False, path=str(tmp_path / "there"))
    (tmp_path / "there").touch()
    resumed, states = start(compiled, tmp_path, "run", is_cache_read=False, path=str(tmp_path / "there"))

    assert (failed.state, resumed.state) == (State.FAILED, State.SUCCEEDED)
    assert states == {"fail-unless": State.SUCCEEDED}
    assert told() == ["x"]


def test_a_failed_step_is_not_kept(tmp_path):
    def pipeline():
        fail(code=3)

    compiled = compile_function(pipeline, tmp_path)
    start(compiled, tmp_path, "first")
    second, states = start(compiled, tmp_path, "second")

    assert states == {"fail": State.FAILED}
    assert second.tasks["fail"].exit_code == 3


def plan(compiled, folder, **parameters):
    work = folder / "plan"
    work.mkdir(exist_ok=True)
    return {
        step.task: (step.action, step.reasons)
        for step in plan_run(parse_pipeline(compiled), parameters, OutputStore(folder / "cache"), work)
    }


def test_a_plan_says_what_changed_from_what_to_what_and_what_follows(tmp_path, told):
    compiled = compile_function(two_steps, tmp_path)
    before = plan(compiled, tmp_path)
    start(compiled, tmp_path, "first")

    assert before["note-count"] == (Action.RUN, ("it has never run",))
    assert {action for action, _ in plan(compiled, tmp_path).values()} == {Action.CACHED}
    changed = plan(compiled, tmp_path, rows=4)
    assert changed["note-count"] == (Action.RUN, ("parameter: rows: 3 → 4",))
    assert changed["copy"] == (Action.RUN, ("its inputs come from a step that runs",))
    assert told() == ["x", "y"]


def test_a_plan_reconciles_a_step_that_is_never_cached_and_sees_past_it(tmp_path, told):
    def pipeline():
        counted = note_count(rows=1).set_caching_options(False)
        copy(note=counted.outputs["note"])

    compiled = compile_function(pipeline, tmp_path)
    start(compiled, tmp_path, "first")

    actions = {task: action for task, (action, _) in plan(compiled, tmp_path).items()}
    assert actions == {"note-count": Action.RECONCILE, "copy": Action.CACHED}


def test_a_plan_names_the_steps_of_a_branch_that_cannot_be_decided_yet(tmp_path, told):
    def pipeline(rows: int, is_wanted: bool = True):
        counted = note_count(rows=rows)
        with dsl.If(is_wanted == True):  # noqa: E712
            copy(note=counted.outputs["note"])

    planned = plan(compile_function(pipeline, tmp_path), tmp_path, rows=1)

    assert [task for task, (action, _) in planned.items() if action is Action.RUN] == [
        "note-count",
        "condition-1/copy",
    ]


KEY = StepKey(
    component="train_model",
    command=("image",),
    code={"a.py": "1"},
    environment="1",
    parameters={"seed": 1},
    project={"training": {"dropout": 0.1}},
    files={},
    artifacts={"rows": "1"},
)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"code": {"a.py": "2"}}, "code: a.py changed"),
        ({"code": {"a.py": "1", "b.py": "1"}}, "code: b.py is new"),
        ({"code": {}}, "code: a.py is gone"),
        ({"environment": "2"}, "environment: its lock changed"),
        ({"parameters": {"seed": 2}}, "parameter: seed: 1 → 2"),
        ({"project": {"training": {"dropout": 0.2}}}, "project: training.dropout: 0.1 → 0.2"),
        ({"files": {"/data/rows.csv": "1"}}, "source: /data/rows.csv is new"),
        ({"artifacts": {"rows": "2"}}, "input: rows changed"),
    ],
)
def test_a_difference_is_said_in_words_and_changes_the_key(change, line):
    changed = KEY.model_copy(update=change)

    assert line in explain_difference(KEY, changed)
    assert changed.fingerprint != KEY.fingerprint


def test_pruning_removes_what_was_not_used_and_leaves_the_runs_their_own(tmp_path, told):
    compiled = compile_function(two_steps, tmp_path)
    run, _ = start(compiled, tmp_path, "first")
    store = OutputStore(tmp_path / "cache")

    assert store.prune(older_than_seconds=3600)[0] == 0
    assert store.prune(older_than_seconds=-1)[0] == 2
    assert run.find_artifact("copy", "copied").read_text() == "3\n"
    _, states = start(compiled, tmp_path, "second")
    assert set(states.values()) == {State.SUCCEEDED}


def test_pruning_leaves_what_is_being_written_and_takes_what_a_killed_writer_left(tmp_path):
    staged, left = (tmp_path / "cache" / "train_model" / name for name in (".under-way", ".left"))
    for folder in (staged, left):
        folder.mkdir(parents=True)
    os.utime(left, (0, 0))

    OutputStore(tmp_path / "cache").prune(older_than_seconds=-1)

    assert staged.is_dir()
    assert not left.exists()


def test_a_step_runs_whose_outputs_are_pruned_while_they_are_taken(tmp_path, told, monkeypatch):
    compiled = compile_function(two_steps, tmp_path)
    # As it was a moment before.
    monkeypatch.setattr(OutputStore, "has", lambda *_: True)

    assert plan(compiled, tmp_path)["note-count"] == (Action.RUN, ("it has never run",))
    _, states = start(compiled, tmp_path, "first")
    assert set(states.values()) == {State.SUCCEEDED}


def test_a_plan_takes_no_reason_from_an_entry_that_it_cannot_read(tmp_path, told):
    compiled = compile_function(two_steps, tmp_path)
    start(compiled, tmp_path, "first")
    for key in (tmp_path / "cache").glob("*/*/key.json"):
        key.write_text('{"of": "another version"}')

    assert plan(compiled, tmp_path, rows=4)["note-count"] == (Action.RUN, ("it has never run",))


@dsl.container_component
def grow(part: dsl.Output[dsl.Artifact], seed: int):
    # Its output is a directory that is incomplete for most of the time.
    return dsl.ContainerSpec(
        image=IMAGE,
        command=["sh", "-c"],
        args=[
            'mkdir -p "$0"; for i in 1 2 3 4 5; do echo "$1 $i" >> "$0/$i"; sleep 0.2; done',
            part.path,
            seed,
        ],
    )


@dsl.container_component
def join(one: dsl.Input[dsl.Artifact], other: dsl.Input[dsl.Artifact], whole: dsl.Output[dsl.Artifact]):
    return shell('cat "$0"/* "$1"/* > "$2"', one.path, other.path, whole.path)


def growing():
    join(one=grow(seed=1).outputs["part"], other=grow(seed=2).outputs["part"])


RUN_ONCE = """
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from small_pipelines import runner_of
folder = Path(sys.argv[2])
result = runner_of((folder / "pipeline.yaml").read_text(), folder, lambda task: None).run({})
sys.exit(0 if result.state == "succeeded" else 1)
"""


def test_a_run_killed_at_any_moment_resumes_to_the_same_outputs(tmp_path):
    undisturbed = tmp_path / "undisturbed"
    disturbed = tmp_path / "disturbed"
    for folder in (undisturbed, disturbed):
        folder.mkdir()
        compile_function(growing, folder)
    expected = run_function(growing, undisturbed)
    assert expected.state is State.SUCCEEDED
    command = [sys.executable, "-c", RUN_ONCE, str(SOURCE_ROOT / "tests"), str(disturbed)]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE_ROOT)}
    moments = random.Random(0)
    kills = 0
    while True:
        process = subprocess.Popen(command, env=environment, process_group=0)
        try:
            # Long enough, in the end, for a run that is left alone.
            code = process.wait(timeout=0.6 + moments.random() * 1.2 + 0.2 * kills)
            break
        except subprocess.TimeoutExpired:
            kills += 1
            process.send_signal(signal.SIGKILL)
            process.wait()

    assert code == 0
    assert kills > 0
    parts = [Path("tasks") / task / "artifacts" for task in ("grow", "grow-2", "join")]
    assert [fingerprint_files(disturbed / "run" / part) for part in parts] == [
        fingerprint_files(undisturbed / "run" / part) for part in parts
    ]
