"""Which step came after which."""

import pytest
import yaml
from run_folders import PIPELINE, STEPS

from mulgil.reports.step_graph import plain_path, read_edges, reduce_edges


@pytest.fixture(scope="module")
def edges():
    return read_edges(yaml.safe_load(PIPELINE.read_text()))


def test_every_container_step_stands_with_those_that_it_waits_for(edges):
    assert set(edges) == set(STEPS)
    assert edges["ingest-data"] == frozenset()
    assert edges["materialize-features"] == {"ingest-data", "validate-data"}
    # A condition's steps start when all that any of them reads is there.
    assert edges["condition-1/deploy-model"] == {"evaluate-model", "ingest-data", "register-model"}
    assert "condition-1/deploy-model" in edges["condition-1/roll-out-model"]


def test_what_a_longer_way_says_already_is_not_drawn(edges):
    assert reduce_edges(edges, STEPS) == [(i, i + 1) for i in range(len(STEPS) - 1)]


def test_a_graph_that_was_skipped_stands_after_what_its_tasks_wait_for(edges):
    order = [*STEPS[:-2], "condition-1"]

    assert reduce_edges(edges, order)[-1] == (5, 6)


def test_a_fork_and_its_join_are_drawn():
    edges = {
        "a": frozenset(),
        "b": frozenset({"a"}),
        "c": frozenset({"a"}),
        "d": frozenset({"a", "b", "c"}),
    }

    assert reduce_edges(edges, "abcd") == [(0, 1), (0, 2), (1, 3), (2, 3)]


def test_iterations_of_a_loop_stand_where_the_loop_stands():
    edges = {"a": frozenset(), "loop/b": frozenset({"a"})}

    assert plain_path("loop/1/b") == "loop/b"
    assert reduce_edges(edges, ["a", "loop/0/b", "loop/1/b"]) == [(0, 1), (0, 2)]


def test_a_pipeline_without_a_graph_has_no_edges():
    assert read_edges({}) == {}
