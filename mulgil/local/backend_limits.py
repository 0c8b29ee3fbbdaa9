"""What KFP's SDK compiles and its backend does not run, or runs otherwise than documented: refused here too.

A pipeline that runs here must run there. docs/pipeline-features.md lists these limits for the reader.

Source: backend/src/v2 of https://github.com/kubeflow/pipelines 2.17.0; each check names the place.
"""

from __future__ import annotations

from collections.abc import Iterator

from mulgil.errors import UnsupportedPipelineError
from mulgil.local.graph_spec import Dag, Task
from mulgil.local.pipeline_spec import Component, PipelineSpec
from mulgil.local.placeholders import (
    find_condition_input,
    find_unresolvable,
    find_unresolvable_in_constant,
)


def refuse_beyond_backend(pipeline: PipelineSpec) -> None:
    """Refuse a pipeline that KFP's backend would not run as written.

    Raises:
        UnsupportedPipelineError: With every reason.
    """
    reasons = list(find_beyond_backend(pipeline))
    if reasons:
        details = "\n".join(f"  - {reason}" for reason in reasons)
        raise UnsupportedPipelineError(
            f"KFP's backend would not run this pipeline as it is written, so it does not run here:\n{details}"
        )


def find_beyond_backend(pipeline: PipelineSpec) -> Iterator[str]:
    """Yield why KFP's backend would not run a pipeline as it is written."""
    for name, artifact in pipeline.root.input_definitions.artifacts.items():
        if not artifact.is_optional:
            yield f"root: a run is given parameters alone, and no artifact such as {name}; import it instead"
    for name, component in {"root": pipeline.root, **pipeline.components}.items():
        if component.dag is None:
            yield from _of_command(pipeline, name, component)
            continue
        for task_name, task in component.dag.tasks.items():
            where = f"{name}.{task_name}"
            yield from _of_references(where, task, component)
            yield from _of_constants(where, task)
            yield from _of_loop(pipeline, where, task)
            yield from _of_importer(pipeline, where, task)
            if task.is_exit_task:
                yield from _of_exit_task(pipeline, where, task, component.dag)
        yield from _of_order(name, component.dag)


def _of_command(pipeline: PipelineSpec, name: str, component: Component) -> Iterator[str]:
    """Check command lines: `resolveContainerArgs` in driver/util.go, `NewLauncherV2` in launcher_v2.go."""
    container = pipeline.executor_of(component).container
    if container is None:
        return
    if not container.command and not container.args:
        yield f"{name}: it has neither command nor arguments, and the image's own entry point is not used"
    for part in (*container.command, *container.args):
        for placeholder in find_unresolvable(part):
            yield f"{name}: its command line holds {placeholder}, which is passed on unresolved"
        if find_condition_input(part) in component.input_definitions.artifacts:
            yield f"{name}: an IfPresent placeholder looks at an artifact; only parameters count as present"


def _of_references(where: str, task: Task, component: Component) -> Iterator[str]:
    """Check inputs from the graph around: the SDK loses the items of loops that a text combines."""
    parameters = {source.component_input_parameter for source in task.inputs.parameters.values()} - {None}
    artifacts = {source.component_input_artifact for source in task.inputs.artifacts.values()} - {None}
    unknown = (parameters - component.input_definitions.parameters.keys()) | (
        artifacts - component.input_definitions.artifacts.keys()
    )
    for name in sorted(map(str, unknown)):
        yield f"{where}: its graph has no input {name}; within a text, pass each loop's item by itself"


def _of_constants(where: str, task: Task) -> Iterator[str]:
    """Check constants: `resolveInputParameter` in driver/resolve.go."""
    for key, source in task.inputs.parameters.items():
        constant = source.runtime_value and source.runtime_value.constant
        for placeholder in find_unresolvable_in_constant(constant):
            yield f"{where}: the text of {key} holds {placeholder}, which is resolved only by itself"


def _of_loop(pipeline: PipelineSpec, where: str, task: Task) -> Iterator[str]:
    """Check loops: `resolveInputs` and `CollectInputs` in driver/resolve.go."""
    if task.parameter_iterator is None:
        return
    if any(source.parameter_expression_selector for source in task.inputs.parameters.values()):
        yield f"{where}: a loop over a part of another loop's item fails in its iterations"
    component = pipeline.component_of(task)
    if component.dag is not None and any(
        _comes_from_loop(pipeline, component, key) for key in component.dag.outputs.parameters
    ):
        yield f"{where}: what is collected through nested loops comes as a flat list, not as lists of lists"


def _comes_from_loop(pipeline: PipelineSpec, component: Component, key: str) -> bool:
    output = component.dag.outputs.parameters.get(key) if component.dag else None
    for selector in output.selectors if output else ():
        assert component.dag is not None
        task = component.dag.tasks[selector.producer_subtask]
        inner = pipeline.component_of(task)
        if task.parameter_iterator is not None:
            return True
        if _comes_from_loop(pipeline, inner, selector.output_parameter_key):
            return True
    return False


def _of_importer(pipeline: PipelineSpec, where: str, task: Task) -> Iterator[str]:
    """Check importers: `ImportSpecToMLMDArtifact` in component/importer_launcher.go."""
    component = pipeline.component_of(task)
    importer = pipeline.executor_of(component).importer if component.executor_label else None
    if importer is None:
        return
    source = task.inputs.parameters.get(importer.artifact_uri.runtime_parameter)
    if source is not None and source.component_input_parameter is None:
        yield f"{where}: an importer takes its URI from a constant or a pipeline's parameter alone"


def _of_exit_task(pipeline: PipelineSpec, where: str, task: Task, graph: Dag) -> Iterator[str]:
    """Check exit tasks, which become exit hooks of what they wait for: `DAG` in argocompiler/dag.go."""
    if not task.upstream:
        yield f"{where}: an exit task that waits for nothing never runs"
    if len(task.upstream) > 1:
        yield f"{where}: an exit task that waits for several tasks runs once for each of them"
    for name in sorted(task.upstream):
        before = graph.tasks[name]
        component = pipeline.component_of(before)
        is_importer = bool(component.executor_label and pipeline.executor_of(component).importer)
        if before.parameter_iterator is not None or is_importer:
            yield f"{where}: an exit task of a loop or an importer never runs"


def _of_order(name: str, graph: Dag) -> Iterator[str]:
    """Check what waits for exit tasks, and how many a task has."""
    exit_tasks = {key: task for key, task in graph.tasks.items() if task.is_exit_task and task.upstream}
    for key, task in graph.tasks.items():
        for awaited in sorted(task.upstream & exit_tasks.keys()):
            yield f"{name}.{key}: nothing can wait for an exit task such as {awaited}"
        hooks = sorted(hook for hook, exit_task in exit_tasks.items() if key in exit_task.upstream)
        if len(hooks) > 1:
            yield f"{name}.{key}: of its exit tasks {', '.join(hooks)} only the last one runs"
