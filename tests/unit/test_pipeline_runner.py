"""The local runner, on small pipelines compiled by the real KFP compiler and run as real processes."""

import os
import signal
import threading

import pytest
from kfp import dsl
from small_pipelines import IMAGE, compile_function, count, fail, read, run_function, runner_of, say, sleep

from mulgil.errors import InputError, UnsupportedPipelineError
from mulgil.local.run_store import State


@dsl.container_component
def say_if_given(
    text: str = None,  # noqa: RUF013 - how kfp marks an optional input
):
    return dsl.ContainerSpec(
        image=IMAGE,
        command=["echo"],
        args=[
            dsl.IfPresentPlaceholder(input_name="text", then=["given", text], else_=["nothing given"]),
        ],
    )


@pytest.fixture
def run(tmp_path):
    """Compile a pipeline function and run it."""

    def start(function, **parameters):
        return run_function(function, tmp_path, **parameters)

    return start


def test_an_artifact_reaches_the_next_step(run):
    def pipeline(rows: int = 3):
        read(note=count(rows=rows).outputs["note"])

    ran = run(pipeline)

    assert ran.state is State.SUCCEEDED
    assert ran.log("read") == "note of 3\n"
    assert [(task.task, task.state) for task in ran.observed] == [
        ("count", State.RUNNING),
        ("count", State.SUCCEEDED),
        ("read", State.RUNNING),
        ("read", State.SUCCEEDED),
    ]


def test_an_integer_stays_one_from_default_to_command_line_to_output(run):
    def pipeline(rows: int = 3):
        count(rows=rows)

    ran = run(pipeline)

    value = ran.result.tasks["count"].outputs.parameters["counted"]
    assert (value, type(value)) == (3, int)


@pytest.mark.parametrize(
    ("rows", "task", "state"),
    [
        (3, "condition-1/read", State.SUCCEEDED),
        (2, "condition-1", State.SKIPPED),
    ],
)
def test_a_condition_on_a_steps_output_decides(run, rows, task, state):
    def pipeline(rows: int):
        counted = count(rows=rows)
        with dsl.If(counted.outputs["counted"] > 2):
            read(note=counted.outputs["note"])

    ran = run(pipeline, rows=rows)

    assert ran.state is State.SUCCEEDED
    assert {name: ended.state for name, ended in ran.result.tasks.items()} == {
        "count": State.SUCCEEDED,
        task: state,
    }


@pytest.mark.parametrize(
    ("text", "flag", "said"), [("a", True, "one"), ("b", True, "two"), ("a", False, "three")]
)
def test_if_and_else_with_text_and_booleans(run, text, flag, said):
    def pipeline(text: str, flag: bool):
        with dsl.If(flag == True):  # noqa: E712
            with dsl.If(text == "a"):
                say(text="one")
            with dsl.Else():
                say(text="two")
        with dsl.Else():
            say(text="three")

    ran = run(pipeline, text=text, flag=flag)

    assert [ran.log(name) for name in ran.succeeded()] == [f"{said}\n"]


def test_a_condition_that_cannot_be_evaluated_fails_and_never_counts_as_false(run):
    def pipeline(text: str):
        # The compiler does not escape the quote, and so writes a condition that is not CEL.
        with dsl.If(text == "a'b"):
            say(text="one")

    ran = run(pipeline, text="a")

    assert ran.state is State.FAILED
    assert "cannot be evaluated" in ran.log("condition-1")


def test_a_failure_blocks_what_follows_and_nothing_else(run):
    def pipeline():
        failed = fail(code=3)
        say(text="after").after(failed)
        say(text="beside")

    ran = run(pipeline)

    assert ran.state is State.FAILED
    assert ran.result.failed == ("fail",)
    assert ran.result.tasks["fail"].exit_code == 3
    assert ran.result.tasks["say"].state is State.BLOCKED
    assert ran.result.tasks["say-2"].state is State.SUCCEEDED
    assert "giving up" in ran.log("fail")


def test_an_optional_input_that_nobody_gave_stays_away(run):
    def pipeline(
        text: str = None,  # noqa: RUF013
    ):
        say_if_given(text=text)

    ran = run(pipeline)

    assert ran.log("say-if-given") == "nothing given\n"


def test_an_optional_input_that_was_given_arrives(run):
    def pipeline(
        text: str = None,  # noqa: RUF013
    ):
        say_if_given(text=text)

    ran = run(pipeline, text="hello")

    assert ran.log("say-if-given") == "given hello\n"


def test_a_step_can_name_its_run(run):
    def pipeline():
        say(text=dsl.PIPELINE_JOB_NAME_PLACEHOLDER)

    ran = run(pipeline)

    assert ran.log("say") == "run-1\n"


def test_independent_steps_run_side_by_side(run):
    def pipeline():
        sleep(seconds=0.5)
        sleep(seconds=0.5)

    ran = run(pipeline)

    started = [task.started_at for task in ran.observed if task.state is State.RUNNING]
    first_end = min(task.ended_at for task in ran.observed if task.state is State.SUCCEEDED)
    assert max(started) < first_end


def test_a_step_that_ends_well_without_its_output_fails_by_name(run):
    @dsl.container_component
    def forget(note: dsl.Output[dsl.Artifact]):
        return dsl.ContainerSpec(image=IMAGE, command=["echo"], args=[note.path])

    def pipeline():
        forget()

    ran = run(pipeline)

    assert ran.state is State.FAILED
    assert "without an output" in ran.log("forget")
    assert "note" in ran.log("forget")


def test_an_interrupt_ends_the_steps(tmp_path):
    def pipeline():
        sleep(seconds=60.0)

    compiled = compile_function(pipeline, tmp_path)
    observed = []

    def observe(task):
        observed.append(task)
        if task.state is State.RUNNING:
            threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()

    with pytest.raises(KeyboardInterrupt):
        runner_of(compiled, tmp_path, observe).run({})

    assert observed[-1].state is State.INTERRUPTED
    assert observed[-1].exit_code == -signal.SIGTERM
    assert observed[-1].ended_at - observed[-1].started_at < 30


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"rows": "three"}, "rows='three'"),
        ({"rows": 2.5}, "rows=2.5"),
        ({"rows": True}, "rows=True"),
        ({}, "rows"),
        ({"rows": 1, "columns": 2}, "columns"),
    ],
)
def test_a_wrong_parameter_is_named(run, given, message):
    def pipeline(rows: int):
        count(rows=rows)

    with pytest.raises(InputError, match=message):
        run(pipeline, **given)


@dsl.component(base_image="python:3.11")
def lightweight() -> int:
    return 1


def test_an_image_that_is_not_ours_is_refused_before_anything_runs(tmp_path):
    def pipeline():
        say(text="first")
        lightweight()

    text = compile_function(pipeline, tmp_path)

    with pytest.raises(UnsupportedPipelineError, match=r"python:3\.11"):
        runner_of(text, tmp_path)
    assert not (tmp_path / "run").exists()
