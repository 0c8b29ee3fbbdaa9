"""KFP v2's intermediate representation, as far as this runner implements it.

The models list what is honoured and refuse every other key. So a pipeline that uses more is refused by the
name of the field, and nothing is ever skipped in silence.

Source: `PipelineSpec` in https://github.com/kubeflow/pipelines, api/v2alpha1/pipeline_spec.proto, schema
version 2.1.0 as kfp 2.17.0 writes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from mulgil.errors import UnsupportedPipelineError, describe
from mulgil.local.graph_spec import Dag, Spec, Task

SUPPORTED_SCHEMA_VERSION = "2.1.0"

# Why a field that pipelines do use is not honoured; docs/pipeline-features.md has the whole list.
_REASONS = {
    "isArtifactList": "KFP's launcher gives a container step only the first of a list of artifacts",
    "artifactIterator": "KFP's backend does not iterate over artifacts",
    "resolver": "KFP's backend has no such executor",
    "customJob": "KFP's backend has no such executor",
    "accelerator": "a process here cannot be given accelerators of its own",
    "defaultPipelineRoot": "artifacts stay in the run's folder here",
    "downloadToWorkspace": "there is no shared workspace here",
}


class ParameterType(StrEnum):
    """Types of parameters."""

    STRING = "STRING"
    NUMBER_INTEGER = "NUMBER_INTEGER"
    NUMBER_DOUBLE = "NUMBER_DOUBLE"
    BOOLEAN = "BOOLEAN"
    LIST = "LIST"
    STRUCT = "STRUCT"
    TASK_FINAL_STATUS = "TASK_FINAL_STATUS"


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
    schema_version: str = ""


class InputArtifact(Spec):
    """One artifact that a component takes."""

    artifact_type: ArtifactType
    is_optional: bool = False
    description: str = ""


class OutputArtifact(Spec):
    """One artifact that a component gives."""

    artifact_type: ArtifactType
    description: str = ""


class InputDefinitions(Spec):
    """What a component takes."""

    parameters: dict[str, InputParameter] = Field(default_factory=dict)
    artifacts: dict[str, InputArtifact] = Field(default_factory=dict)


class OutputDefinitions(Spec):
    """What a component gives."""

    parameters: dict[str, OutputParameter] = Field(default_factory=dict)
    artifacts: dict[str, OutputArtifact] = Field(default_factory=dict)


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
        return self


class EnvironmentVariable(Spec):
    """One variable of a container."""

    name: str
    value: str = ""


class Resources(Spec):
    """What a container asks for and may use, as Kubernetes quantities that may hold placeholders.

    The numbers are the older form of the same (cores, and memory in GB); a quantity goes before a number.
    """

    resource_cpu_request: str = ""
    resource_cpu_limit: str = ""
    resource_memory_request: str = ""
    resource_memory_limit: str = ""
    cpu_request: float = 0.0
    cpu_limit: float = 0.0
    memory_request: float = 0.0
    memory_limit: float = 0.0


class Container(Spec):
    """A command in an image."""

    image: str
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[EnvironmentVariable, ...] = ()
    resources: Resources = Resources()


class ArtifactUri(Spec):
    """A URI, or the input parameter that holds it."""

    constant: str = ""
    runtime_parameter: str = ""


class Importer(Spec):
    """An artifact from outside the pipeline.

    Attributes:
        reimport: Whether KFP records it anew; without a metadata store it makes no difference here.
    """

    artifact_uri: ArtifactUri
    type_schema: ArtifactType
    reimport: bool = False


class Executor(Spec):
    """How a component is run; exactly one is set."""

    container: Container | None = None
    importer: Importer | None = None

    @model_validator(mode="after")
    def _is_one_kind(self) -> Self:
        if (self.container is None) == (self.importer is None):
            raise ValueError("an executor is either a container or an importer")
        return self


class DeploymentSpec(Spec):
    """How every component is run."""

    executors: dict[str, Executor]


class PipelineInfo(Spec):
    """What a pipeline is called."""

    name: str
    display_name: str = ""
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

    def executor_of(self, component: Component) -> Executor:
        """Return what runs a component that is not a graph."""
        assert component.executor_label is not None
        return self.deployment_spec.executors[component.executor_label]

    @property
    def task_names(self) -> Mapping[str, str]:
        """The display name of every task that surely exists, by its path.

        A path has the names of the graphs around the task before slashes. How many tasks a loop brings is
        known only when it starts, so that they are not among these.
        """
        return {path: task.display_name for path, task in self._tasks(self.root, "")}

    @property
    def images(self) -> Mapping[str, str]:
        """The image of every task that surely exists and runs a container, by its path."""
        images = {}
        for path, task in self._tasks(self.root, ""):
            container = self.executor_of(self.component_of(task)).container
            if container is not None:
                images[path] = container.image
        return images

    @property
    def output_artifacts(self) -> Mapping[str, frozenset[str]]:
        """The names of the output artifacts of every task that surely exists, by its path."""
        return {
            path: frozenset(self.component_of(task).output_definitions.artifacts)
            for path, task in self._tasks(self.root, "")
        }

    def _tasks(self, component: Component, prefix: str) -> Iterator[tuple[str, Task]]:
        for name in component.dag.order() if component.dag else ():
            assert component.dag is not None
            task = component.dag.tasks[name]
            inner = self.component_of(task)
            if task.parameter_iterator is not None:
                continue
            if inner.dag:
                yield from self._tasks(inner, f"{prefix}{name}/")
            else:
                yield prefix + name, task


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
    if error["type"] != "extra_forbidden":
        return f"{where}: {error['msg']} {error['input']!r:.80}"
    reason = _REASONS.get(str(error["loc"][-1]))
    return f"{where}: is not implemented" + (f", as {reason}" if reason else "")
