"""The runner's pure decisions: whether a task starts, when it is tried again, what a quantity is."""

import pytest

from mulgil.errors import InputError
from mulgil.local.container_step import expand_variables
from mulgil.local.graph_spec import RetryPolicy
from mulgil.local.parameters import coerce_parameter, read_parameter, write_parameter
from mulgil.local.pipeline_spec import ParameterType, Resources
from mulgil.local.placeholders import TaskContext
from mulgil.local.resources import Demand, parse_quantity, read_demand
from mulgil.local.retry import wait_before_retry
from mulgil.local.run_store import State
from mulgil.local.triggers import end_without_start


@pytest.mark.parametrize(
    ("upstream", "state", "state_of_exit_task"),
    [
        ([], None, None),
        ([State.SUCCEEDED, State.SUCCEEDED], None, None),
        ([State.SUCCEEDED, State.SKIPPED], State.SKIPPED, State.SKIPPED),
        ([State.FAILED, State.SKIPPED], State.BLOCKED, State.SKIPPED),
        ([State.FAILED], State.BLOCKED, None),
        ([State.BLOCKED], State.BLOCKED, State.BLOCKED),
    ],
)
def test_a_task_starts_where_what_it_waits_for_went_well_and_an_exit_task_where_it_ran(
    upstream, state, state_of_exit_task
):
    assert end_without_start(upstream, is_exit_task=False) is state
    assert end_without_start(upstream, is_exit_task=True) is state_of_exit_task


def test_waits_grow_by_the_factor_until_the_retries_are_used_up():
    policy = RetryPolicy(max_retry_count=3, backoff_duration="10s", backoff_factor=3)

    waits = [wait_before_retry(policy, attempts, elapsed_seconds=0) for attempts in (1, 2, 3, 4)]

    assert waits == [10, 30, 90, None]


@pytest.mark.parametrize(("elapsed_seconds", "wait"), [(50, 10), (51, None)])
def test_no_retry_begins_after_the_longest_duration(elapsed_seconds, wait):
    policy = RetryPolicy(max_retry_count=3, backoff_duration="10s", backoff_max_duration="60s")

    assert wait_before_retry(policy, 1, elapsed_seconds) == wait


@pytest.mark.parametrize(("factor", "waits"), [(0, [5, 5, 5]), (1, [5, 5, 5]), (2, [5, 10, 20])])
def test_a_factor_of_zero_leaves_the_wait_as_it_is(factor, waits):
    policy = RetryPolicy(max_retry_count=9, backoff_duration="5s", backoff_factor=factor)

    assert [wait_before_retry(policy, attempts, 0) for attempts in (1, 2, 3)] == waits


def test_the_defaults_of_a_retry_policy_are_those_of_the_format():
    policy = RetryPolicy(max_retry_count=5000)

    assert (policy.backoff_duration, policy.backoff_factor, policy.backoff_max_duration) == (0, 2, 3600)
    assert wait_before_retry(policy, attempts=4000, elapsed_seconds=3600) == 0


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2", 2),
        ("500m", 0.5),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1k", 1000),
        ("1Ki", 1024),
        ("2G", 2e9),
        ("1.5Gi", 1.5 * 2**30),
    ],
)
def test_kubernetes_quantities(text, value):
    assert parse_quantity(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "1K", "1 Gi", "-1", "lots", "1GiB"])
def test_what_is_no_quantity_is_refused(text):
    with pytest.raises(InputError, match="quantity"):
        parse_quantity(text)


def test_a_quantity_goes_before_the_older_number():
    resources = Resources(cpu_request=4, resource_cpu_request="500m", memory_limit=1.5, cpu_limit=2)

    demand = read_demand(resources, TaskContext("run", "task"))

    assert demand == Demand(cores=0.5, memory=0, core_limit=2, memory_limit=1.5e9)


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$(A)/$(B)", "1/2"),
        ("$(C) $(date +%s)", "$(C) $(date +%s)"),
        ("$$(A) $$ $A", "$(A) $ $A"),
        ("$((1 + 2))", "$((1 + 2))"),
    ],
)
def test_variables_expand_as_in_kubernetes(text, expanded):
    assert expand_variables(text, {"A": "1", "B": "2"}) == expanded


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as it is", "as it is"),
        (3, "3"),
        (3.0, "3"),
        (2.5, "2.5"),
        (True, "true"),
        ([1.0, {"a": 2.0}], '[1,{"a":2}]'),
        (1e300, "1e+300"),
    ],
)
def test_a_parameter_is_written_as_a_command_line_has_it(value, text):
    assert write_parameter(value) == text


@pytest.mark.parametrize(
    ("text", "type_", "value"),
    [
        (" 12\n", ParameterType.NUMBER_INTEGER, 12),
        ("-3", ParameterType.NUMBER_INTEGER, -3),
        (" 1e3\n", ParameterType.NUMBER_DOUBLE, 1000.0),
        ("T", ParameterType.BOOLEAN, True),
        ("0\n", ParameterType.BOOLEAN, False),
        ("[1]", ParameterType.LIST, [1]),
    ],
)
def test_an_output_is_read_as_the_launcher_reads_it(text, type_, value):
    read = read_parameter("x", text, type_)

    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "type_"),
    [
        ("3.0", ParameterType.NUMBER_INTEGER),
        ("three", ParameterType.NUMBER_DOUBLE),
        ("yes", ParameterType.BOOLEAN),
        ("{}", ParameterType.LIST),
        ("[", ParameterType.STRUCT),
    ],
)
def test_an_output_of_another_type_is_refused(text, type_):
    with pytest.raises(InputError, match="x is of another type"):
        read_parameter("x", text, type_)


@pytest.mark.parametrize("value", [float("inf"), float("nan"), 2.5, True, "3"])
def test_what_is_no_integer_is_refused(value):
    with pytest.raises(InputError, match="x is of another type"):
        coerce_parameter("x", value, ParameterType.NUMBER_INTEGER)
