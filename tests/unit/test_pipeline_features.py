"""Features of KFP, on pipelines that the real compiler wrote, run as real processes.

docs/pipeline-features.md has a row for each, and test_pipeline_features_table.py holds the two together.
"""

import json
import os
import re
from typing import NamedTuple

import pytest
from kfp import dsl
from small_pipelines import (
    IMAGE,
    compile_function,
    count,
    double,
    fail,
    read,
    run_compiled,
    run_function,
    runner_of,
    say,
    shell,
    show,
    sleep,
)

from mulgil.errors import UnsupportedPipelineError
from mulgil.local.pipeline_spec import parse_pipeline
from mulgil.local.run_store import State


@dsl.container_component
def write(text: str, note: dsl.Output[dsl.Artifact]):
    return shell('echo "$0" > "$1"', text, note.path)


@dsl.container_component
def list_numbers(numbers: dsl.OutputPath(list[int])):
    return shell('echo "[4, 5]" > "$0"', numbers)


@dsl.container_component
def list_items(items: dsl.OutputPath(list[dict[str, int]])):
    return shell("""echo '[{"a": 1}, {"a": 2}]' > "$0" """, items)


@dsl.container_component
def say_or_default(text: str = "the default"):
    return shell('echo "$0"', text)


@dsl.container_component
def join(first: str, second: str):
    return shell('echo "$0 $1"', first, second)


@dsl.container_component
def conclude(status: dsl.PipelineTaskFinalStatus, folder: str = "here"):
    return shell('echo "$0 $1"', status, folder)


@dsl.container_component
def fail_first(folder: str, times: int, note: dsl.Output[dsl.Artifact], tries: dsl.OutputPath(int)):
    """Fail as often as asked for; leave a part of the outputs behind each time."""
    script = """
    echo x >> "$0/tries"; made=$(wc -l < "$0/tries"); echo "try $made"
    if [ -e "$2" ] || [ -e left-behind ]; then echo "not clean"; exit 9; fi
    touch left-behind; echo "note" > "$2"
    [ "$made" -gt "$1" ] || exit 7
    echo "$made" > "$3"
    """
    return shell(script, folder, times, note.path, tries)


# --- conditions ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("x", "given"), [(1, 10), (2, 20), (3, 30)])
def test_one_of_three_branches_gives_its_parameter(tmp_path, x, given):
    def pipeline(x: int) -> int:
        with dsl.If(x == 1):
            one = double(number=5)
        with dsl.Elif(x == 2):
            two = double(number=10)
        with dsl.Else():
            three = double(number=15)
        chosen = dsl.OneOf(one.outputs["doubled"], two.outputs["doubled"], three.outputs["doubled"])
        double(number=chosen)
        return chosen

    ran = run_function(pipeline, tmp_path, x=x)

    assert ran.state is State.SUCCEEDED
    assert ran.log("double-4") == f"{given}\n"
    assert ran.result.outputs.parameters == {"Output": given}
    assert list(ran.states.values()).count(State.SKIPPED) == 2


@pytest.mark.parametrize("x", [1, 2])
def test_one_of_two_branches_gives_its_artifact(tmp_path, x):
    def pipeline(x: int):
        with dsl.If(x == 1):
            one = write(text="branch 1")
        with dsl.Else():
            two = write(text="branch 2")
        read(note=dsl.OneOf(one.outputs["note"], two.outputs["note"]))

    assert run_function(pipeline, tmp_path, x=x).log("read") == f"branch {x}\n"


# --- loops --------------------------------------------------------------------------------------------------


def test_a_loop_over_a_static_list_runs_once_for_each_item(tmp_path):
    def pipeline():
        with dsl.ParallelFor(["x", "y", "z"]) as item:
            say(text=item)

    ran = run_function(pipeline, tmp_path)

    logs = {path: ran.log(path) for path in ran.succeeded()}
    assert logs == {"for-loop-2/0/say": "x\n", "for-loop-2/1/say": "y\n", "for-loop-2/2/say": "z\n"}


def test_a_loop_over_a_pipelines_parameter(tmp_path):
    def pipeline(numbers: list[int] = [1, 2]):  # noqa: B006
        with dsl.ParallelFor(numbers) as number:
            double(number=number)

    ran = run_function(pipeline, tmp_path, numbers=[7, 8])

    assert [ran.log(path) for path in ran.succeeded()] == ["7\n", "8\n"]


def test_a_loop_over_what_a_task_gave(tmp_path):
    def pipeline():
        with dsl.ParallelFor(list_numbers().output) as number:
            double(number=number)

    ran = run_function(pipeline, tmp_path)

    assert [ran.log(f"for-loop-1/{index}/double") for index in (0, 1)] == ["4\n", "5\n"]


def test_a_part_of_each_item_by_its_key(tmp_path):
    def pipeline(given: list[dict[str, int]]):
        with dsl.ParallelFor([{"a": "x", "b": "y"}, {"a": "z", "b": "w"}]) as item:
            join(first=item.a, second=item.b)
        with dsl.ParallelFor(list_items().output) as item, dsl.If(item.a > 1):
            double(number=item.a)
        with dsl.ParallelFor(given) as item:
            double(number=item.a)

    ran = run_function(pipeline, tmp_path, given=[{"a": 3}])

    assert ran.state is State.SUCCEEDED
    assert [ran.log(f"for-loop-2/{index}/join") for index in (0, 1)] == ["x y\n", "z w\n"]
    logs = sorted(ran.log(path) for path in ran.succeeded() if "double" in path)
    assert logs == ["2\n", "3\n"]


def test_an_item_without_the_part_fails_its_iteration_alone(tmp_path):
    def pipeline(items: list[dict[str, int]]):
        with dsl.ParallelFor(items) as item:
            double(number=item.a)

    ran = run_function(pipeline, tmp_path, items=[{"b": 1}, {"a": 2}])

    assert ran.states == {"for-loop-1/0/double": State.FAILED, "for-loop-1/1/double": State.SUCCEEDED}
    assert "lacks a part" in ran.log("for-loop-1/0/double")


def test_a_parallelism_limit_bounds_the_iterations_at_once(tmp_path):
    def pipeline():
        with dsl.ParallelFor([0.1, 0.1, 0.1], parallelism=1) as seconds:
            first = sleep(seconds=seconds)
            sleep(seconds=0.1).after(first)

    ran = run_function(pipeline, tmp_path)

    in_order = [task.task for task in ran.observed if task.state is State.RUNNING]
    assert in_order == [f"for-loop-2/{index}/{name}" for index in range(3) for name in ("sleep", "sleep-2")]


def test_loops_within_loops(tmp_path):
    def pipeline():
        with dsl.ParallelFor(["a", "b"]) as outer, dsl.ParallelFor(["x", "y"]) as inner:
            join(first=outer, second=inner)

    ran = run_function(pipeline, tmp_path)

    logs = {path: ran.log(path).strip() for path in ran.succeeded()}
    assert logs == {
        f"for-loop-2/{i}/for-loop-4/{j}/join": f"{outer} {inner}"
        for i, outer in enumerate("ab")
        for j, inner in enumerate("xy")
    }


def test_collected_parameters_come_in_the_order_of_the_items_and_integers_stay_integers(tmp_path):
    def pipeline() -> list[int]:
        with dsl.ParallelFor([3, 1, 2]) as number:
            doubled = double(number=number)
        show(value=dsl.Collected(doubled.outputs["doubled"]))
        return dsl.Collected(doubled.outputs["doubled"])

    ran = run_function(pipeline, tmp_path)

    assert ran.log("show") == "[6,2,4]\n"
    assert ran.result.outputs.parameters == {"Output": [6, 2, 4]}
    assert all(type(value) is int for value in ran.result.outputs.parameters["Output"])


def test_what_an_inner_loop_gave_is_collected_within_the_outer_iteration(tmp_path):
    def pipeline():
        with dsl.ParallelFor(["a", "b"]) as _:
            with dsl.ParallelFor([1, 2]) as number:
                doubled = double(number=number)
            show(value=dsl.Collected(doubled.outputs["doubled"]))

    ran = run_function(pipeline, tmp_path)

    assert [ran.log(f"for-loop-2/{index}/show") for index in (0, 1)] == ["[2,4]\n"] * 2


def test_a_failed_iteration_stops_no_other_and_blocks_what_follows_the_loop(tmp_path):
    def pipeline():
        with dsl.ParallelFor([0, 3, 0], parallelism=1) as code:
            failed = fail_with(code=code)
        show(value=dsl.Collected(failed.outputs["code_out"]))

    @dsl.container_component
    def fail_with(code: int, code_out: dsl.OutputPath(int)):
        return shell('echo "$0" > "$1"; exit "$0"', code, code_out)

    ran = run_function(pipeline, tmp_path)

    assert ran.states == {
        "for-loop-2/0/fail-with": State.SUCCEEDED,
        "for-loop-2/1/fail-with": State.FAILED,
        "for-loop-2/2/fail-with": State.SUCCEEDED,
        "show": State.BLOCKED,
    }
    assert (ran.state, ran.result.failed) == (State.FAILED, ("for-loop-2/1/fail-with",))


def test_a_loop_without_items_succeeds_and_gives_nothing_to_collect(tmp_path):
    def pipeline(numbers: list[int]):
        with dsl.ParallelFor(numbers) as number:
            doubled = double(number=number)
        say(text="after").after(doubled)
        show(value=dsl.Collected(doubled.outputs["doubled"]))

    ran = run_function(pipeline, tmp_path, numbers=[])

    assert ran.states == {"for-loop-1": State.SUCCEEDED, "say": State.SUCCEEDED, "show": State.FAILED}
    assert "for-loop-1 gave no output" in ran.log("show")


def test_conditions_in_loops_and_loops_in_conditions(tmp_path):
    def pipeline(flag: bool):
        with dsl.If(flag == True), dsl.ParallelFor([1, 2, 3]) as number, dsl.If(number > 1):  # noqa: E712
            double(number=number)

    ran = run_function(pipeline, tmp_path, flag=True)

    assert [ran.log(path) for path in ran.succeeded()] == ["2\n", "3\n"]
    assert run_function(pipeline, tmp_path / "..", flag=False).states == {"condition-1": State.SKIPPED}


# --- exit tasks ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("code", "state"), [(0, "SUCCEEDED"), (3, "FAILED")])
def test_an_exit_handler_runs_its_task_with_the_final_status(tmp_path, code, state):
    def pipeline(code: int):
        with dsl.ExitHandler(conclude(folder="bin")):
            failed = fail(code=code)
            say(text="after").after(failed)

    ran = run_function(pipeline, tmp_path, code=code)

    status = json.loads(ran.log("conclude").removesuffix(" bin\n"))
    assert status.pop("error") == ({"code": 2, "message": "failed: exit-handler-1/fail"} if code else {})
    assert status == {
        "state": state,
        "pipelineJobResourceName": "run-1",
        "pipelineTaskName": "exit-handler-1",
    }
    assert ran.state is (State.FAILED if code else State.SUCCEEDED)
    assert ran.result.failed == (("exit-handler-1/fail",) if code else ())


def test_a_failed_exit_task_leaves_the_runs_state_as_it_is(tmp_path):
    def pipeline():
        with dsl.ExitHandler(fail(code=3)):
            say(text="hello")

    ran = run_function(pipeline, tmp_path)

    assert ran.states["fail"] is State.FAILED
    assert (ran.state, ran.result.failed) == (State.SUCCEEDED, ())


def test_an_exit_task_does_not_run_where_its_tasks_did_not(tmp_path):
    def pipeline():
        failed = fail(code=3)
        with dsl.ExitHandler(say(text="bye")):
            say(text="hello").after(failed)

    assert run_function(pipeline, tmp_path).states == {
        "fail": State.FAILED,
        "exit-handler-1": State.BLOCKED,
        "say": State.BLOCKED,
    }


def test_a_pipeline_can_be_an_exit_task(tmp_path):
    @dsl.pipeline
    def clean_up(text: str):
        say(text=text)

    def pipeline():
        with dsl.ExitHandler(clean_up(text="bye")):
            fail(code=3)

    ran = run_function(pipeline, tmp_path)

    assert ran.log("clean-up/say") == "bye\n"
    assert ran.state is State.FAILED


def test_a_task_that_ignores_the_failure_before_it_runs_with_the_default_of_what_is_missing(tmp_path):
    @dsl.container_component
    def give_up(text: dsl.OutputPath(str)):
        return shell('echo "$0"; exit 3', text)

    def pipeline():
        given_up = give_up()
        say_or_default(text=given_up.outputs["text"]).ignore_upstream_failure()

    ran = run_function(pipeline, tmp_path)

    assert ran.log("say-or-default") == "the default\n"
    assert (ran.state, ran.result.failed) == (State.FAILED, ("give-up",))


# --- retries ------------------------------------------------------------------------------------------------


def test_a_retry_begins_with_clean_outputs_and_every_attempt_keeps_its_log(tmp_path):
    def pipeline(folder: str):
        failed = fail_first(folder=folder, times=2).set_retry(3, backoff_duration="0s")
        double(number=failed.outputs["tries"])

    ran = run_function(pipeline, tmp_path, folder=str(tmp_path))

    assert ran.state is State.SUCCEEDED
    assert ran.log("double") == "3\n"
    records = [task for task in ran.observed if task.task == "fail-first"]
    assert [(task.attempt, task.state, task.exit_code) for task in records] == [
        (1, State.RUNNING, None),
        (1, State.RETRIED, 7),
        (2, State.RUNNING, None),
        (2, State.RETRIED, 7),
        (3, State.RUNNING, None),
        (3, State.SUCCEEDED, 0),
    ]
    assert [ran.log("fail-first", attempt) for attempt in (1, 2, None)] == ["try 1\n", "try 2\n", "try 3\n"]


def test_a_task_fails_when_its_retries_are_used_up(tmp_path):
    def pipeline(folder: str):
        fail_first(folder=folder, times=9).set_retry(1)

    ran = run_function(pipeline, tmp_path, folder=str(tmp_path))

    assert (ran.state, ran.result.tasks["fail-first"].exit_code) == (State.FAILED, 7)
    assert (tmp_path / "tries").read_text() == "x\nx\n"


def test_the_wait_before_a_retry_grows_by_the_back_off_factor(tmp_path):
    def pipeline(folder: str):
        fail_first(folder=folder, times=2).set_retry(2, backoff_duration="1s", backoff_factor=1)

    # A quicker clock than whole seconds, which are the shortest that the SDK writes.
    compiled = compile_function(pipeline, tmp_path).replace("backoffDuration: 1s", "backoffDuration: 0.2s")
    compiled = compiled.replace("backoffFactor: 1.0", "backoffFactor: 3.0")
    ran = run_compiled(compiled, tmp_path, folder=str(tmp_path))

    starts = [task.started_at for task in ran.observed if task.state is State.RUNNING]
    ends = [task.ended_at for task in ran.observed if task.state is State.RETRIED]
    waits = [start - end for start, end in zip(starts[1:], ends, strict=True)]
    assert waits[0] >= 0.2
    assert waits[1] >= 0.6


def test_a_retry_ends_at_the_policys_longest_duration_and_none_begins_after_it(tmp_path):
    @dsl.container_component
    def fail_then_sleep(folder: str):
        script = '[ -e "$0/seen" ] || { touch "$0/seen"; exit 7; }; exec sleep 30'
        return shell(script, folder)

    def pipeline(folder: str):
        fail_then_sleep(folder=folder).set_retry(5, backoff_max_duration="1s")

    ran = run_function(pipeline, tmp_path, folder=str(tmp_path))

    assert [task.attempt for task in ran.observed if task.state is State.RUNNING] == [1, 2]
    assert "ended: it ran past the time" in ran.log("fail-then-sleep")
    assert ran.observed[-1].ended_at - ran.observed[0].started_at < 5


def test_the_tasks_of_a_nested_pipeline_inherit_its_retries(tmp_path):
    @dsl.pipeline
    def inner(folder: str):
        fail_first(folder=folder, times=1)

    def pipeline(folder: str):
        inner(folder=folder).set_retry(2)

    ran = run_function(pipeline, tmp_path, folder=str(tmp_path))

    assert ran.states == {"inner/fail-first": State.SUCCEEDED}
    assert ran.log("inner/fail-first", 1) == "try 1\n"


# --- nested pipelines ---------------------------------------------------------------------------------------


class Given(NamedTuple):
    counted: int
    note: dsl.Artifact


def test_a_nested_pipeline_takes_and_gives_parameters_and_artifacts(tmp_path):
    @dsl.pipeline
    def inner(rows: int) -> Given:
        counted = count(rows=rows)
        return Given(counted.outputs["counted"], counted.outputs["note"])

    @dsl.pipeline
    def outer(note: dsl.Input[dsl.Artifact]):
        read(note=note)

    def pipeline():
        given = inner(rows=3)
        double(number=given.outputs["counted"])
        outer(note=given.outputs["note"])

    ran = run_function(pipeline, tmp_path)

    assert ran.log("double") == "3\n"
    assert ran.log("outer/read") == "note of 3\n"
    assert ran.succeeded() == ["double", "inner/count", "outer/read"]


def test_a_loop_over_a_nested_pipeline_that_has_a_loop(tmp_path):
    @dsl.pipeline
    def double_all(numbers: list[int]) -> list[int]:
        with dsl.ParallelFor(numbers) as number:
            doubled = double(number=number)
        return dsl.Collected(doubled.outputs["doubled"])

    def pipeline():
        with dsl.ParallelFor(["a", "b"]) as _:
            show(value=double_all(numbers=[1, 2]).output)

    ran = run_function(pipeline, tmp_path)

    assert [ran.log(f"for-loop-2/{index}/show") for index in (0, 1)] == ["[2,4]\n"] * 2


@pytest.mark.parametrize(
    ("given", "said"),
    [({}, ["the default", "of the pipeline"]), ({"text": "a", "other": "b"}, ["a", "b"])],
)
def test_optional_inputs_and_defaults_reach_through_nested_pipelines(tmp_path, given, said):
    @dsl.pipeline
    def inner(
        text: str = None,  # noqa: RUF013 - how kfp marks an optional input
        other: str = "of the pipeline",
    ):
        say_or_default(text=text)
        say(text=other)

    def pipeline(
        text: str = None,  # noqa: RUF013
        other: str = "of the pipeline",
    ):
        inner(text=text, other=other)

    ran = run_function(pipeline, tmp_path, **given)

    assert [ran.log("inner/say-or-default"), ran.log("inner/say")] == [f"{text}\n" for text in said]


# --- parameters ---------------------------------------------------------------------------------------------


def test_a_components_default_fills_the_command_line_but_is_not_present(tmp_path):
    @dsl.container_component
    def greet(name: str = "nobody", times: int = 2):
        present = dsl.IfPresentPlaceholder(input_name="name", then="given", else_="not given")
        return shell('echo "$0 $1 $2"', name, times, present)

    def pipeline():
        greet()
        greet(name="you")

    ran = run_function(pipeline, tmp_path)

    assert [ran.log("greet"), ran.log("greet-2")] == ["nobody 2 not given\n", "you 2 given\n"]


def test_parameters_of_each_type_come_as_the_launcher_writes_them(tmp_path):
    @dsl.container_component
    def show_all(text: str, whole: int, real: float, flag: bool, items: list, table: dict):
        return shell('printf "%s\\n" "$0" "$@"', text, whole, real, flag, items, table)

    def pipeline(
        text: str = "a 'b'",
        whole: int = 3,
        real: float = 2.0,
        flag: bool = True,
        items: list = [1, 2.5, "x"],  # noqa: B006
        table: dict = {"a": 1, "물": [True]},  # noqa: B006
    ):
        show_all(text=text, whole=whole, real=real, flag=flag, items=items, table=table)

    ran = run_function(pipeline, tmp_path)

    assert ran.log("show-all").splitlines() == [
        "a 'b'",
        "3",
        "2",
        "true",
        '[1,2.5,"x"]',
        '{"a":1,"물":[true]}',
    ]


def test_a_text_or_a_structure_takes_other_inputs_in(tmp_path):
    @dsl.container_component
    def show_table(table: dict):
        return shell('echo "$0"', table)

    def pipeline(number: int):
        doubled = double(number=number).outputs["doubled"]
        say(text=f"{number} twice is {doubled}")
        show_table(table={"twice": [doubled, f"of {number}"]})

    ran = run_function(pipeline, tmp_path, number=4)

    assert ran.log("say") == "4 twice is 8\n"
    assert json.loads(ran.log("show-table")) == {"twice": ["8", "of 4"]}


def test_output_parameters_are_read_as_the_launcher_reads_them(tmp_path):
    @dsl.container_component
    def give(
        text: dsl.OutputPath(str),
        whole: dsl.OutputPath(int),
        real: dsl.OutputPath(float),
        flag: dsl.OutputPath(bool),
        table: dsl.OutputPath(dict),
    ):
        script = """
        echo " as it is " > "$0"; echo " 3 " > "$1"; echo 1e3 > "$2"; echo True > "$3"; echo '{"a": 1}' > "$4"
        """
        return shell(script, text, whole, real, flag, table)

    def pipeline():
        give()

    given = run_function(pipeline, tmp_path).result.tasks["give"].outputs.parameters

    assert given == {"text": " as it is \n", "whole": 3, "real": 1000.0, "flag": True, "table": {"a": 1}}
    assert type(given["whole"]) is int


def test_an_output_parameter_of_another_type_fails_the_step(tmp_path):
    @dsl.container_component
    def give(whole: dsl.OutputPath(int)):
        return shell('echo 3.0 > "$0"', whole)

    def pipeline():
        give()

    ran = run_function(pipeline, tmp_path)

    assert ran.states == {"give": State.FAILED}
    assert "whole='3.0\\n'" in ran.log("give")


def test_the_artifacts_of_a_failed_step_are_kept(tmp_path):
    @dsl.container_component
    def judge(verdict: dsl.Output[dsl.Artifact], score: dsl.Output[dsl.Artifact]):
        return shell('echo no > "$0"; exit 3', verdict.path, score.path)

    def pipeline():
        judge()

    judged = run_function(pipeline, tmp_path).result.tasks["judge"]

    assert (judged.state, judged.exit_code) == (State.FAILED, 3)
    assert {name: place.read_text() for name, place in judged.outputs.artifacts.items()} == {
        "verdict": "no\n"
    }


def test_a_task_can_name_itself_and_its_run(tmp_path):
    def pipeline():
        for placeholder in (
            dsl.PIPELINE_JOB_NAME_PLACEHOLDER,
            dsl.PIPELINE_JOB_RESOURCE_NAME_PLACEHOLDER,
            dsl.PIPELINE_JOB_ID_PLACEHOLDER,
            dsl.PIPELINE_TASK_NAME_PLACEHOLDER,
            dsl.PIPELINE_TASK_ID_PLACEHOLDER,
            dsl.PIPELINE_JOB_CREATE_TIME_UTC_PLACEHOLDER,
            dsl.PIPELINE_JOB_SCHEDULE_TIME_UTC_PLACEHOLDER,
        ):
            say(text=placeholder)

    ran = run_function(pipeline, tmp_path)

    names = ["say", *(f"say-{number}" for number in range(2, 8))]
    *identities, created_at, scheduled_at = [ran.log(name).strip() for name in names]
    assert identities == ["run-1", "run-1", "run-1", "say-4", "run-1/say-5"]
    assert created_at == scheduled_at
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", created_at)


# --- settings of a task -------------------------------------------------------------------------------------


def test_a_display_name_is_shown_and_the_path_stays(tmp_path):
    def pipeline():
        say(text="x").set_display_name("Say it loud")
        with dsl.ParallelFor(["a", "b"], name="each") as item:
            say(text=item).set_display_name("Say")

    ran = run_function(pipeline, tmp_path)

    titles = {task.task: task.title for task in ran.observed}
    assert titles == {"say": "Say it loud", "for-loop-2/0/say-2": "Say (0)", "for-loop-2/1/say-2": "Say (1)"}
    known = parse_pipeline(compile_function(pipeline, tmp_path)).task_names
    assert known == {"say": "Say it loud"}


def test_caching_options_are_read(tmp_path):
    def pipeline():
        say(text="x").set_caching_options(False)
        say(text="y").set_caching_options(True, cache_key="mine")

    compiled = compile_function(pipeline, tmp_path)
    tasks = parse_pipeline(compiled).root.dag.tasks

    options = {name: task.caching_options.model_dump() for name, task in tasks.items()}
    assert options == {
        "say": {"enable_cache": False, "cache_key": ""},
        "say-2": {"enable_cache": True, "cache_key": "mine"},
    }
    assert run_compiled(compiled, tmp_path).state is State.SUCCEEDED


def test_environment_variables_are_set_and_expanded_as_kubernetes_does(tmp_path):
    @dsl.container_component
    def show_variables():
        return shell('echo "$A $B" "$0" "$1" "$2"', "$(B)", "$(UNKNOWN)", "$$(A)")

    def pipeline():
        show_variables().set_env_variable("A", "a b").set_env_variable("B", "<$(A)>")

    assert run_function(pipeline, tmp_path).log("show-variables") == "a b <a b> <a b> $(UNKNOWN) $(A)\n"


def test_a_limit_of_cores_is_a_set_of_cores_to_run_on(tmp_path):
    @dsl.container_component
    def count_cores():
        return shell("nproc")

    def pipeline(limit: str = "300m"):
        count_cores().set_cpu_limit("500m")
        count_cores().set_cpu_limit("64")
        count_cores().set_cpu_limit(limit)

    ran = run_function(pipeline, tmp_path)

    all_cores = len(os.sched_getaffinity(0))
    logs = [ran.log(name) for name in ("count-cores", "count-cores-2", "count-cores-3")]
    assert logs == ["1\n", f"{all_cores}\n", "1\n"]


def test_a_step_that_holds_more_memory_than_its_limit_is_killed(tmp_path):
    @dsl.container_component
    def hold(mebibytes: int):
        program = "import sys, time; held = bytearray(int(sys.argv[1]) << 20); time.sleep(1.5)"
        return dsl.ContainerSpec(image=IMAGE, command=["python", "-c", program], args=[mebibytes])

    def pipeline():
        hold(mebibytes=200).set_memory_limit("100Mi")
        hold(mebibytes=20).set_memory_limit("100Mi")

    ran = run_function(pipeline, tmp_path)

    assert ran.states == {"hold": State.FAILED, "hold-2": State.SUCCEEDED}
    assert "more memory than its limit of 100 MiB" in ran.log("hold")


def test_requests_are_reserved_among_the_steps_of_a_run(tmp_path):
    cores = len(os.sched_getaffinity(0))

    def pipeline():
        for _ in range(2):
            sleep(seconds=0.2).set_cpu_request(str(cores))

    ran = run_function(pipeline, tmp_path)

    assert [task.state for task in ran.observed] == [State.RUNNING, State.SUCCEEDED] * 2


def test_a_request_beyond_the_machine_fails_by_name(tmp_path):
    def pipeline():
        say(text="x").set_memory_request("900Ti").set_cpu_request("1")

    ran = run_function(pipeline, tmp_path)

    assert ran.states == {"say": State.FAILED}
    assert "requests more than this machine has" in ran.log("say")


# --- importer -----------------------------------------------------------------------------------------------


def test_an_importer_gives_what_stands_on_this_machine(tmp_path):
    (tmp_path / "a file").write_text("imported\n")

    def pipeline(uri: str):
        read(note=dsl.importer(artifact_uri=uri, artifact_class=dsl.Dataset, reimport=True).output)

    ran = run_function(pipeline, tmp_path, uri=(tmp_path / "a file").as_uri())

    assert ran.log("read") == "imported\n"
    assert ran.states == {"importer": State.SUCCEEDED, "read": State.SUCCEEDED}


@pytest.mark.parametrize(
    ("uri", "message"),
    [("s3://bucket/key", "artifactUri=s3://bucket/key"), ("file:///nowhere/at-all", "does not exist")],
)
def test_an_importer_of_something_elsewhere_fails_by_name(tmp_path, uri, message):
    def pipeline(uri: str):
        read(note=dsl.importer(artifact_uri=uri, artifact_class=dsl.Dataset).output)

    ran = run_function(pipeline, tmp_path, uri=uri)

    assert ran.states == {"importer": State.FAILED, "read": State.BLOCKED}
    assert message in ran.log("importer")


# --- refused: not here --------------------------------------------------------------------------------------


def refuse(function, folder):
    """Return why a pipeline is refused before anything of it runs."""
    compiled = compile_function(function, folder)
    with pytest.raises(UnsupportedPipelineError) as refused:
        runner_of(compiled, folder)
    assert not (folder / "run").exists()
    return str(refused.value)


def test_accelerators_are_refused_by_name(tmp_path):
    def pipeline():
        say(text="x").set_accelerator_type("nvidia.com/gpu").set_accelerator_limit(1)

    assert "resources.accelerator" in refuse(pipeline, tmp_path)


def test_a_list_of_artifacts_is_refused_by_name(tmp_path):
    @dsl.container_component
    def read_all(notes: dsl.Input[list[dsl.Artifact]]):
        return shell("true")

    def pipeline():
        with dsl.ParallelFor(["a", "b"]) as item:
            written = write(text=item)
        read_all(notes=dsl.Collected(written.outputs["note"]))

    message = refuse(pipeline, tmp_path)

    assert "comp-read-all.inputDefinitions.artifacts.notes.isArtifactList" in message
    assert "only the first" in message


def test_a_loop_over_artifacts_is_refused_by_name(tmp_path):
    @dsl.pipeline
    def write_all() -> list[dsl.Artifact]:
        with dsl.ParallelFor(["a", "b"]) as item:
            written = write(text=item)
        return dsl.Collected(written.outputs["note"])

    def pipeline():
        with dsl.ParallelFor(write_all().output) as note:
            read(note=note)

    assert "artifactIterator" in refuse(pipeline, tmp_path)


def test_metadata_of_an_imported_artifact_is_refused_by_name(tmp_path):
    def pipeline():
        dsl.importer(artifact_uri="file:///x", artifact_class=dsl.Dataset, metadata={"a": "b"})

    assert "importer.metadata" in refuse(pipeline, tmp_path)


def test_a_python_function_component_is_refused_by_name(tmp_path):
    @dsl.component(base_image=IMAGE)
    def add(a: int) -> int:
        return a + 1

    def pipeline():
        add(a=1)

    assert "exec-add is a Python function component" in refuse(pipeline, tmp_path)


def test_a_pipeline_root_is_refused_by_name(tmp_path):
    def pipeline():
        say(text="x")

    compiled = compile_function(pipeline, tmp_path, pipeline_root="s3://bucket/root")

    with pytest.raises(UnsupportedPipelineError, match="defaultPipelineRoot"):
        parse_pipeline(compiled)


def test_settings_for_one_platform_are_refused_by_name(tmp_path):
    def pipeline():
        say(text="x")

    configuration = dsl.PipelineConfig(workspace=dsl.WorkspaceConfig(size="1Gi"))
    compiled = compile_function(pipeline, tmp_path, pipeline_config=configuration)

    with pytest.raises(UnsupportedPipelineError, match="platforms=kubernetes"):
        parse_pipeline(compiled)


# --- refused: KFP's backend would not run it ----------------------------------------------------------------


def test_a_container_without_a_command_is_refused(tmp_path):
    @dsl.container_component
    def run_the_image():
        return dsl.ContainerSpec(image=IMAGE)

    def pipeline():
        run_the_image()

    assert "comp-run-the-image: it has neither command nor arguments" in refuse(pipeline, tmp_path)


def test_a_concat_placeholder_is_refused_as_the_backend_leaves_it(tmp_path):
    @dsl.container_component
    def join(text: str):
        return dsl.ContainerSpec(image=IMAGE, command=["echo"], args=[dsl.ConcatPlaceholder(["a", text])])

    def pipeline():
        join(text="b")

    assert "Concat" in refuse(pipeline, tmp_path)


def test_an_if_present_that_the_backend_would_not_resolve_is_refused(tmp_path):
    @dsl.container_component
    def read_if_given(out: dsl.OutputPath(str), note: dsl.Input[dsl.Artifact] = None, text: str = "x"):
        return dsl.ContainerSpec(
            image=IMAGE,
            command=["echo"],
            args=[
                dsl.IfPresentPlaceholder(input_name="note", then=[note.path]),
                dsl.IfPresentPlaceholder(input_name="text", then=["--out", out]),
            ],
        )

    def pipeline():
        read_if_given()

    message = refuse(pipeline, tmp_path)

    assert "an IfPresent placeholder looks at an artifact" in message
    assert "outputs.parameters['out'].output_file within an IfPresent" in message


def test_the_name_of_the_run_within_a_longer_text_is_refused(tmp_path):
    def pipeline():
        say(text=f"this is {dsl.PIPELINE_JOB_NAME_PLACEHOLDER}")

    assert "holds pipeline_job_name" in refuse(pipeline, tmp_path)


def test_collecting_through_nested_loops_is_refused(tmp_path):
    def pipeline():
        with dsl.ParallelFor(["a", "b"]) as _, dsl.ParallelFor([1, 2]) as number:
            doubled = double(number=number)
        show(value=dsl.Collected(doubled.outputs["doubled"]))

    assert "root.for-loop-2: what is collected through nested loops" in refuse(pipeline, tmp_path)


def test_a_loop_over_a_part_of_an_item_is_refused(tmp_path):
    def pipeline():
        with dsl.ParallelFor([{"texts": ["a", "b"]}]) as item, dsl.ParallelFor(item.texts) as text:
            say(text=text)

    assert "a loop over a part of another loop's item" in refuse(pipeline, tmp_path)


def test_a_pipeline_that_takes_an_artifact_is_refused(tmp_path):
    def pipeline(note: dsl.Input[dsl.Artifact]):
        read(note=note)

    assert "no artifact such as note" in refuse(pipeline, tmp_path)


def test_a_text_that_combines_the_items_of_nested_loops_is_refused_as_the_compiler_loses_them(tmp_path):
    def pipeline():
        with dsl.ParallelFor(["a", "b"]) as outer, dsl.ParallelFor([1, 2]) as inner:
            say(text=f"{outer}{inner}")

    assert "pass each loop's item by itself" in refuse(pipeline, tmp_path)


def test_a_fractional_back_off_factor_is_refused(tmp_path):
    def pipeline():
        say(text="x").set_retry(2, backoff_factor=1.5)

    assert "backoffFactor" in refuse(pipeline, tmp_path)


def test_an_importer_of_a_place_that_a_task_names_is_refused(tmp_path):
    @dsl.container_component
    def locate(uri: dsl.OutputPath(str)):
        return shell('echo file:///x > "$0"', uri)

    def pipeline():
        dsl.importer(artifact_uri=locate().output, artifact_class=dsl.Dataset)

    assert "an importer takes its URI from a constant or a pipeline's parameter" in refuse(pipeline, tmp_path)


def _two_exit_tasks():
    first = say(text="x")
    say_or_default(text="a").after(first).ignore_upstream_failure()
    say_or_default(text="b").after(first).ignore_upstream_failure()


def _exit_task_of_two():
    say_or_default(text="a").after(say(text="x"), say(text="y")).ignore_upstream_failure()


def _after_an_exit_task():
    last = say_or_default(text="a").after(say(text="x")).ignore_upstream_failure()
    say(text="y").after(last)


def _exit_task_of_nothing():
    say(text="x")
    say_or_default(text="a").ignore_upstream_failure()


def _exit_task_of_a_loop():
    with dsl.ParallelFor([1, 2]) as number:
        doubled = double(number=number)
    say_or_default(text="a").after(doubled).ignore_upstream_failure()


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (_two_exit_tasks, "only the last one runs"),
        (_exit_task_of_two, "runs once for each of them"),
        (_after_an_exit_task, "nothing can wait for an exit task"),
        (_exit_task_of_nothing, "waits for nothing never runs"),
        (_exit_task_of_a_loop, "of a loop or an importer never runs"),
    ],
)
def test_exit_tasks_that_the_backend_would_lose_are_refused(tmp_path, function, message):
    assert message in refuse(function, tmp_path)
