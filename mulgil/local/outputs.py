"""What a graph gives: its state and outputs, selected from those of its tasks.

Source: `GetProducerTask` in backend/src/v2/driver/resolve.go, kfp 2.17.0.
"""

from __future__ import annotations

from collections.abc import Mapping

from mulgil.local.graph_spec import Dag
from mulgil.local.results import TaskResult, Values
from mulgil.local.run_store import State


def conclude_graph(graph: Dag, ended: Mapping[str, TaskResult]) -> TaskResult:
    """Put the results of a graph's tasks together.

    Args:
        graph: The graph.
        ended: The result of each of its tasks by name, in the order in which they ended.

    Returns:
        Failed where a task has failed that is no exit task: Argo's exit hooks leave a graph's state as it is.
        An output is that of the first of its tasks that gave it; where none did, it is absent.
    """
    counted = {name: result for name, result in ended.items() if not graph.tasks[name].is_exit_task}
    failed = tuple(path for result in counted.values() for path in result.failed)
    if any(result.state in (State.FAILED, State.BLOCKED) for result in counted.values()):
        return TaskResult(State.FAILED, failed=failed)
    # The first selector is taken last, so that its value stays.
    parameters = {
        name: ended[selector.producer_subtask].outputs.parameters[selector.output_parameter_key]
        for name, output in graph.outputs.parameters.items()
        for selector in reversed(output.selectors)
        if selector.output_parameter_key in ended[selector.producer_subtask].outputs.parameters
    }
    artifacts = {
        name: ended[selector.producer_subtask].outputs.artifacts[selector.output_artifact_key]
        for name, artifact in graph.outputs.artifacts.items()
        for selector in reversed(artifact.artifact_selectors)
        if selector.output_artifact_key in ended[selector.producer_subtask].outputs.artifacts
    }
    return TaskResult(State.SUCCEEDED, outputs=Values(parameters, artifacts))
