"""The local runner, on small pipelines compiled by the real KFP compiler and run as real processes."""

import os
import signal
import threading

import pytest
from kfp import compiler, dsl

from mulgil.errors import InputError, UnsupportedPipelineError
from mulgil.local.pipeline_spec import parse_pipeline
from mulgil.local.run_store import State
from mulgil.local.runner import PipelineRunner, log_of

# Any image of ours will do: the steps here need only its Python.
IMAGE = "mulgil/ingest-data:0.1.0"


@dsl.container_component
def count(rows: int, counted: dsl.OutputPath(int), note: dsl.Output[dsl.Artifact]):
    return dsl.ContainerSpec(
        image=IMAGE,
        command=["sh", "-c", 'echo "counting $0"; echo -n "$0" > "$1"; echo "note of $0" > "$2"'],
        args=[rows, counted, note.path],
    )


@dsl.container_component
def read(note: dsl.Input[dsl.Artifact]):
    return dsl.ContainerSpec(image=IMAGE, command=["cat"], args=[note.path])


@dsl.container_component
def fail(code: int):
    return dsl.ContainerSpec(image=IMAGE, command=["sh", "-c", 'echo "giving up"; exit "$0"'], args=[code])


@dsl.container_component
def say(text: str):
    return dsl.ContainerSpec(image=IMAGE, command=["echo"], args=[text])


@dsl.container_component
def say_if_given(
    text: str = None,  # noqa: RUF013 - how kfp marks an optional input
):
    return dsl.ContainerSpec(
        image=IMAGE,
        command=["echo"],
        args=[
            dsl.IfPresentPlaceholder(input_name="text", then=["given", text], else_=["nothing given"]),
            dsl.ConcatPlaceholder(["a", "b"]),
        ],
    )


@dsl.container_component
def sleep(seconds: float):
    return dsl.ContainerSpec(image=IMAGE, command=["sleep"], args=[seconds])


def compiled(pipeline, tmp_path):
    path = tmp_path / "pipeline.yaml"
    compiler.Compiler().compile(pipeline, str(path))
    return path.read_text(encoding="utf-8")


@pytest.fixture
def run(tmp_path):
    """Compile a pipeline function, run it, and give the result with what was observed."""

    def start(function, **parameters):
        pipeline = parse_pipeline(compiled(dsl.pipeline(name="a-pipeline")(function), tmp_path))
        observed = []
        result = PipelineRunner(pipeline, "run-1", tmp_path / "run", observed.append).run(parameters)
        return result, observed

    return start


def log(tmp_path, task):
    return log_of(tmp_path / "run", task).read_text(encoding="utf-8")


def test_an_artifact_reaches_the_next_step(run, tmp_path):
    def pipeline(rows: int = 3):
        read(note=count(rows=rows).outputs["note"])

    result, observed = run(pipeline)

    assert result.state is State.SUCCEEDED
    assert log(tmp_path, "read") == "note of 3\n"
    assert [(task.task, task.state) for task in observed] == [
        ("count", State.RUNNING),
        ("count", State.SUCCEEDED),
        ("read", State.RUNNING),
        ("read", State.SUCCEEDED),
    ]


def test_an_integer_stays_one_from_default_to_command_line_to_output(run):
    def pipeline(rows: int = 3):
        count(rows=rows)

    result, _ = run(pipeline)

    value = result.tasks["count"].outputs.parameters["counted"]
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

    result, _ = run(pipeline, rows=rows)

    assert result.state is State.SUCCEEDED
    assert {name: ended.state for name, ended in result.tasks.items()} == {
        "count": State.SUCCEEDED,
        task: state,
    }


@pytest.mark.parametrize(
    ("text", "flag", "said"), [("a", True, "one"), ("b", True, "two"), ("a", False, "three")]
)
def test_if_and_else_with_text_and_booleans(run, tmp_path, text, flag, said):
    def pipeline(text: str, flag: bool):
        with dsl.If(flag == True):  # noqa: E712
            with dsl.If(text == "a"):
                say(text="one")
            with dsl.Else():
                say(text="two")
        with dsl.Else():
            say(text="three")

    result, _ = run(pipeline, text=text, flag=flag)

    ran = [name for name, task in result.tasks.items() if task.state is State.SUCCEEDED]
    assert [log(tmp_path, name) for name in ran] == [f"{said}\n"]


def test_a_condition_that_cannot_be_evaluated_fails_and_never_counts_as_false(run, tmp_path):
    def pipeline(text: str):
        # The compiler does not escape the quote, and so writes a condition that is not CEL.
        with dsl.If(text == "a'b"):
            say(text="one")

    result, _ = run(pipeline, text="a")

    assert result.state is State.FAILED
    assert "cannot be evaluated" in log(tmp_path, "condition-1")


def test_a_failure_blocks_what_follows_and_nothing_else(run, tmp_path):
    def pipeline():
        failed = fail(code=3)
        say(text="after").after(failed)
        say(text="beside")

    result, _ = run(pipeline)

    assert result.state is State.FAILED
    assert result.failed == ("fail",)
    assert result.tasks["fail"].exit_code == 3
    assert result.tasks["say"].state is State.BLOCKED
    assert result.tasks["say-2"].state is State.SUCCEEDED
    assert "giving up" in log(tmp_path, "fail")


def test_an_optional_input_that_nobody_gave_stays_away(run, tmp_path):
    def pipeline(
        text: str = None,  # noqa: RUF013
    ):
        say_if_given(text=text)

    run(pipeline)

    assert log(tmp_path, "say-if-given") == "nothing given ab\n"


def test_an_optional_input_that_was_given_arrives(run, tmp_path):
    def pipeline(
        text: str = None,  # noqa: RUF013
    ):
        say_if_given(text=text)

    run(pipeline, text="hello")

    assert log(tmp_path, "say-if-given") == "given hello ab\n"


def test_a_step_can_name_its_run(run, tmp_path):
    def pipeline():
        say(text=dsl.PIPELINE_JOB_NAME_PLACEHOLDER)

    run(pipeline)

    assert log(tmp_path, "say") == "run-1\n"


def test_independent_steps_run_side_by_side(run):
    def pipeline():
        sleep(seconds=0.5)
        sleep(seconds=0.5)

    _, observed = run(pipeline)

    started = [task.started_at for task in observed if task.state is State.RUNNING]
    first_end = min(task.ended_at for task in observed if task.state is State.SUCCEEDED)
    assert max(started) < first_end


def test_a_step_that_ends_well_without_its_output_fails_by_name(run, tmp_path):
    @dsl.container_component
    def forget(note: dsl.Output[dsl.Artifact]):
        return dsl.ContainerSpec(image=IMAGE, command=["echo"], args=[note.path])

    def pipeline():
        forget()

    result, _ = run(pipeline)

    assert result.state is State.FAILED
    assert "without an output" in log(tmp_path, "forget")
    assert "note" in log(tmp_path, "forget")


def test_an_interrupt_ends_the_steps(tmp_path):
    def pipeline():
        sleep(seconds=60.0)

    spec = parse_pipeline(compiled(dsl.pipeline(name="a-pipeline")(pipeline), tmp_path))
    observed = []

    def observe(task):
        observed.append(task)
        if task.state is State.RUNNING:
            threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()

    with pytest.raises(KeyboardInterrupt):
        PipelineRunner(spec, "run-1", tmp_path / "run", observe).run({})

    assert observed[-1].state is State.FAILED
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


def _parallel_for():
    with dsl.ParallelFor([1.0, 2.0]) as item:
        sleep(seconds=item)


def _exit_handler():
    with dsl.ExitHandler(say(text="bye")):
        say(text="hello")


def _retry():
    say(text="x").set_retry(2)


def _importer():
    dsl.importer(artifact_uri="file:///x", artifact_class=dsl.Dataset)


def _limits():
    say(text="x").set_memory_limit("1G")


@pytest.mark.parametrize(
    ("function", "field"),
    [
        (_parallel_for, "parameterIterator"),
        (_exit_handler, "strategy"),
        (_retry, "retryPolicy"),
        (_importer, "importer"),
        (_limits, "resources"),
    ],
)
def test_what_the_runner_does_not_implement_is_refused_by_the_name_of_the_field(function, field, tmp_path):
    text = compiled(dsl.pipeline(name="a-pipeline")(function), tmp_path)

    with pytest.raises(UnsupportedPipelineError, match=field):
        parse_pipeline(text)


def test_an_image_that_is_not_ours_is_refused_before_anything_runs(tmp_path):
    def pipeline():
        say(text="first")
        lightweight()

    text = compiled(dsl.pipeline(name="a-pipeline")(pipeline), tmp_path)

    with pytest.raises(UnsupportedPipelineError, match=r"python:3\.11"):
        PipelineRunner(parse_pipeline(text), "run-1", tmp_path / "run", print)
    assert not (tmp_path / "run").exists()
