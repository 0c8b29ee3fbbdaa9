"""KFP v2's intermediate representation, as far as this runner implements it.

The models list what is honoured and refuse every other key. So a pipeline that uses more is refused by the
name of the field, and nothing is ever skipped in silence.

Source: `PipelineSpec` in https://github.com/kubeflow/pipelines, api/v2alpha1/pipeline_spec.proto, schema
version 2.1.0 as kfp 2.17.0 writes it.
"""

from __future__ import annotations

from enum import StrEnum
from graphlib import CycleError, TopologicalSorter
from typing import Any, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from mulgil.errors import UnsupportedPipelineError, describe

SUPPORTED_SCHEMA_VERSION = "2.1.0"


class Spec(BaseModel):
    """Base of every message: frozen, in the YAML's camel case, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class ParameterType(StrEnum):
    """Types of parameters."""

    STRING = "STRING"
    NUMBER_INTEGER = "NUMBER_INTEGER"
    NUMBER_DOUBLE = "NUMBER_DOUBLE"
    BOOLEAN = "BOOLEAN"
    LIST = "LIST"
    STRUCT = "STRUCT"


class InputParameter(Spec):
    """A parameter that a component takes."""

    parameter_type: ParameterType
    default_value: Any = None
    is_optional: bool = False
    description: str = ""


class OutputParameter(Spec):
    """A parameter that a component gives."""

    parameter_type: ParameterType
    description: str = ""


class ArtifactType(Spec):
    """The schema of an artifact."""

    schema_title: str
    schema_version: str


class Artifact(Spec):
    """One artifact that a component takes or gives."""

    artifact_type: ArtifactType
    description: str = ""


class InputDefinitions(Spec):
    """What a component takes."""

    parameters: dict[str, InputParameter] = Field(default_factory=dict)
    artifacts: dict[str, Artifact] = Field(default_factory=dict)


class OutputDefinitions(Spec):
    """What a component gives."""

    parameters: dict[str, OutputParameter] = Field(default_factory=dict)
    artifacts: dict[str, Artifact] = Field(default_factory=dict)


class TaskOutputParameter(Spec):
    """A reference to another task's output parameter."""

    producer_task: str
    output_parameter_key: str


class TaskOutputArtifact(Spec):
    """A reference to another task's output artifact."""

    producer_task: str
    output_artifact_key: str


class RuntimeValue(Spec):
    """A constant, which may hold placeholders."""

    constant: Any


Model = TypeVar("Model", bound=BaseModel)


def _has_one_source(source: Model) -> Model:
    if sum(value is not None for _, value in source) != 1:
        raise ValueError("exactly one source is given")
    return source


class ParameterSource(Spec):
    """Where a task's input parameter comes from; exactly one is set."""

    component_input_parameter: str | None = None
    task_output_parameter: TaskOutputParameter | None = None
    runtime_value: RuntimeValue | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        return _has_one_source(self)


class ArtifactSource(Spec):
    """Where a task's input artifact comes from; exactly one is set."""

    component_input_artifact: str | None = None
    task_output_artifact: TaskOutputArtifact | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        return _has_one_source(self)


class TaskInputs(Spec):
    """What a task passes to its component."""

    parameters: dict[str, ParameterSource] = Field(default_factory=dict)
    artifacts: dict[str, ArtifactSource] = Field(default_factory=dict)


class Named(Spec):
    """A reference by name."""

    name: str


class CachingOptions(Spec):
    """Whether a task's outputs may be reused."""

    enable_cache: bool = False


class TriggerPolicy(Spec):
    """When a task runs: where the condition, in CEL, is true."""

    condition: str


class Task(Spec):
    """One use of a component in a graph."""

    component_ref: Named
    task_info: Named
    inputs: TaskInputs = TaskInputs()
    dependent_tasks: tuple[str, ...] = ()
    caching_options: CachingOptions = CachingOptions()
    trigger_policy: TriggerPolicy | None = None

    @property
    def upstream(self) -> frozenset[str]:
        """The tasks that must have succeeded before this one starts."""
        sources = [source.task_output_parameter for source in self.inputs.parameters.values()]
        artifacts = [source.task_output_artifact for source in self.inputs.artifacts.values()]
        producers = {source.producer_task for source in (*sources, *artifacts) if source is not None}
        return frozenset(producers | set(self.dependent_tasks))


class Dag(Spec):
    """A graph of tasks."""

    tasks: dict[str, Task]

    @model_validator(mode="after")
    def _is_acyclic(self) -> Self:
        for name, task in self.tasks.items():
            if not task.upstream <= self.tasks.keys():
                raise ValueError(f"{name} waits for a task that is not in its graph")
        try:
            self.order()
        except CycleError as exc:
            raise ValueError(f"tasks wait for each other: {' -> '.join(exc.args[1])}") from exc
        return self

    def order(self) -> list[str]:
        """Return the tasks' names so that each stands after those that it needs."""
        return list(
            TopologicalSorter({name: task.upstream for name, task in self.tasks.items()}).static_order()
        )


class Component(Spec):
    """A container's interface, or a graph; exactly one of the two."""

    executor_label: str | None = None
    dag: Dag | None = None
    input_definitions: InputDefinitions = InputDefinitions()
    output_definitions: OutputDefinitions = OutputDefinitions()

    @model_validator(mode="after")
    def _is_one_kind(self) -> Self:
        if (self.executor_label is None) == (self.dag is None):
            raise ValueError("a component is either an executor or a graph")
        if self.dag is not None and self.output_definitions != OutputDefinitions():
            raise ValueError("outputs of a nested graph are not supported")
        return self


class EnvironmentVariable(Spec):
    """One variable of a container."""

    name: str
    value: str


class Container(Spec):
    """A command in an image."""

    image: str
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[EnvironmentVariable, ...] = ()


class Executor(Spec):
    """How a component is run."""

    container: Container


class DeploymentSpec(Spec):
    """How every component is run."""

    executors: dict[str, Executor]


class PipelineInfo(Spec):
    """What a pipeline is called."""

    name: str
    description: str = ""


class PipelineSpec(Spec):
    """A compiled pipeline."""

    pipeline_info: PipelineInfo
    root: Component
    components: dict[str, Component]
    deployment_spec: DeploymentSpec
    schema_version: str
    sdk_version: str

    @model_validator(mode="after")
    def _names_what_it_has(self) -> Self:
        for component in (self.root, *self.components.values()):
            for name, task in (component.dag.tasks if component.dag else {}).items():
                if task.component_ref.name not in self.components:
                    raise ValueError(
                        f"{name} uses the component {task.component_ref.name}, which is not here"
                    )
            label = component.executor_label
            if label is not None and label not in self.deployment_spec.executors:
                raise ValueError(f"the executor {label} is not here")
        return self

    def component_of(self, task: Task) -> Component:
        """Return the component that a task uses."""
        return self.components[task.component_ref.name]

    @property
    def task_names(self) -> tuple[str, ...]:
        """Names of every task that runs a container, with those of the graphs around it before slashes."""
        return tuple(self._names(self.root, ""))

    def _names(self, component: Component, prefix: str) -> list[str]:
        if component.dag is None:
            return [prefix.removesuffix("/")]
        order = component.dag.order()
        return [
            n for t in order for n in self._names(self.component_of(component.dag.tasks[t]), f"{prefix}{t}/")
        ]

    def container_of(self, component: Component) -> Container:
        """Return the container that runs a component which is not a graph."""
        assert component.executor_label is not None
        return self.deployment_spec.executors[component.executor_label].container


def parse_pipeline(text: str) -> PipelineSpec:
    """Read a compiled pipeline.

    Args:
        text: YAML as the KFP compiler writes it.

    Raises:
        UnsupportedPipelineError: Naming every field that this runner does not implement.
    """
    documents = [document for document in yaml.safe_load_all(text) if document]
    if len(documents) > 1:
        raise UnsupportedPipelineError(
            describe(
                "The pipeline has a second document, with settings for one platform",
                expected="a pipeline that needs no `platforms` section",
                received=f"platforms={', '.join(documents[1].get('platforms', {}))}",
                next_step="compile it without kfp-kubernetes for this runner",
            )
        )
    try:
        pipeline = PipelineSpec.model_validate(documents[0] if documents else None)
    except ValidationError as exc:
        details = "\n".join(f"  - {_describe(error)}" for error in exc.errors(include_url=False))
        raise UnsupportedPipelineError(
            f"This runner does not implement all that the pipeline uses:\n{details}"
        ) from exc
    if pipeline.schema_version != SUPPORTED_SCHEMA_VERSION:
        raise UnsupportedPipelineError(
            describe(
                "The pipeline has another version of the format",
                expected=f"schemaVersion={SUPPORTED_SCHEMA_VERSION}",
                received=f"schemaVersion={pipeline.schema_version}",
                next_step="compile it with the locked kfp",
            )
        )
    return pipeline


def _describe(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    text = "is not implemented" if error["type"] == "extra_forbidden" else error["msg"]
    return (
        f"{where}: {text}"
        if error["type"] == "extra_forbidden"
        else f"{where}: {text} {error['input']!r:.80}"
    )
