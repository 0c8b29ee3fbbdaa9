"""A graph in KFP v2's intermediate representation: its tasks, what each takes, when it runs, what it gives.

The models list what is honoured and refuse every other key; see `mulgil.local.pipeline_spec`.
"""

from __future__ import annotations

from enum import StrEnum
from graphlib import CycleError, TopologicalSorter
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel


class Spec(BaseModel):
    """Base of every message: frozen, in the YAML's camel case, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class TaskOutputParameter(Spec):
    """A reference to another task's output parameter."""

    producer_task: str
    output_parameter_key: str


class TaskOutputArtifact(Spec):
    """A reference to another task's output artifact."""

    producer_task: str
    output_artifact_key: str


class TaskFinalStatus(Spec):
    """A reference to how another task ended."""

    producer_task: str


class RuntimeValue(Spec):
    """A constant, which may hold placeholders."""

    constant: Any


class Source(Spec):
    """Where a task's input comes from; exactly one is set."""

    @property
    def producer(self) -> str | None:
        """The task that it waits for, where it comes from one."""
        raise NotImplementedError

    @model_validator(mode="after")
    def _has_one(self) -> Self:
        kinds = type(self).model_fields.keys() - {"parameter_expression_selector"}
        if sum(getattr(self, kind) is not None for kind in kinds) != 1:
            raise ValueError("exactly one source is given")
        return self


class ParameterSource(Source):
    """Where a task's input parameter comes from.

    Attributes:
        parameter_expression_selector: Takes a part of the value, such as one key of a loop's item.
    """

    component_input_parameter: str | None = None
    task_output_parameter: TaskOutputParameter | None = None
    runtime_value: RuntimeValue | None = None
    task_final_status: TaskFinalStatus | None = None
    parameter_expression_selector: str = ""

    @property
    def producer(self) -> str | None:
        """The task that it waits for, where it comes from one."""
        reference = self.task_output_parameter or self.task_final_status
        return reference.producer_task if reference else None


class ArtifactSource(Source):
    """Where a task's input artifact comes from."""

    component_input_artifact: str | None = None
    task_output_artifact: TaskOutputArtifact | None = None

    @property
    def producer(self) -> str | None:
        """The task that it waits for, where it comes from one."""
        return self.task_output_artifact.producer_task if self.task_output_artifact else None


class TaskInputs(Spec):
    """What a task passes to its component."""

    parameters: dict[str, ParameterSource] = Field(default_factory=dict)
    artifacts: dict[str, ArtifactSource] = Field(default_factory=dict)


class Named(Spec):
    """A reference by name."""

    name: str


class CachingOptions(Spec):
    """Whether a task's outputs may be reused, and by which key if not by its inputs."""

    enable_cache: bool = False
    cache_key: str = ""


class TriggerStrategy(StrEnum):
    """What must have become of the tasks before one for it to start."""

    UNSPECIFIED = "TRIGGER_STRATEGY_UNSPECIFIED"
    ALL_SUCCEEDED = "ALL_UPSTREAM_TASKS_SUCCEEDED"
    ALL_COMPLETED = "ALL_UPSTREAM_TASKS_COMPLETED"


class TriggerPolicy(Spec):
    """When a task runs: where the strategy is met and the condition, in CEL, is true."""

    condition: str = ""
    strategy: TriggerStrategy = TriggerStrategy.UNSPECIFIED


Seconds = Annotated[float, BeforeValidator(lambda text: str(text).removesuffix("s"))]


class RetryPolicy(Spec):
    """How often and after which waits a task that failed is run again.

    Attributes:
        max_retry_count: Attempts after the first.
        backoff_duration: Wait before the first retry.
        backoff_factor: By which each wait is longer than the one before. KFP hands it to Argo, which takes
            whole numbers alone.
        backoff_max_duration: From the first attempt's start on, the time in which the task is retried.

    Units:
        Durations are seconds.
    """

    max_retry_count: int = 0
    backoff_duration: Seconds = 0.0
    backoff_factor: int = 2
    backoff_max_duration: Seconds = 3600.0


class IteratorItems(Spec):
    """What a loop goes over: a JSON array, or the name of an input parameter."""

    raw: str = ""
    input_parameter: str = ""

    @model_validator(mode="after")
    def _is_one_kind(self) -> Self:
        if bool(self.raw) == bool(self.input_parameter):
            raise ValueError("items are either raw or an input parameter")
        return self


class ParameterIterator(Spec):
    """A loop: the component runs once for each item, given as `item_input`."""

    items: IteratorItems
    item_input: str


class IteratorPolicy(Spec):
    """How many iterations of a loop run at once; 0 sets no limit."""

    parallelism_limit: int = Field(default=0, ge=0)


class Task(Spec):
    """One use of a component in a graph."""

    component_ref: Named
    task_info: Named
    inputs: TaskInputs = TaskInputs()
    dependent_tasks: tuple[str, ...] = ()
    caching_options: CachingOptions = CachingOptions()
    trigger_policy: TriggerPolicy = TriggerPolicy()
    retry_policy: RetryPolicy | None = None
    parameter_iterator: ParameterIterator | None = None
    iterator_policy: IteratorPolicy = IteratorPolicy()

    @property
    def display_name(self) -> str:
        """What its author calls it."""
        return self.task_info.name

    @property
    def is_exit_task(self) -> bool:
        """Whether it runs even where what it waits for has failed."""
        return self.trigger_policy.strategy is TriggerStrategy.ALL_COMPLETED

    @property
    def upstream(self) -> frozenset[str]:
        """The tasks that it waits for."""
        sources = [*self.inputs.parameters.values(), *self.inputs.artifacts.values()]
        producers = {source.producer for source in sources if source.producer is not None}
        return frozenset(producers | set(self.dependent_tasks))


class ParameterSelector(Spec):
    """An output parameter of a task within a graph."""

    producer_subtask: str
    output_parameter_key: str


class ArtifactSelector(Spec):
    """An output artifact of a task within a graph."""

    producer_subtask: str
    output_artifact_key: str


class ParameterSelectors(Spec):
    """Output parameters of which one task's alone will exist."""

    parameter_selectors: tuple[ParameterSelector, ...]


class GraphOutputParameter(Spec):
    """Where a graph's output parameter comes from: one task, or the one of several that ran."""

    value_from_parameter: ParameterSelector | None = None
    value_from_oneof: ParameterSelectors | None = None

    @property
    def selectors(self) -> tuple[ParameterSelector, ...]:
        """The outputs to look at, in order."""
        one = (self.value_from_parameter,) if self.value_from_parameter else ()
        return one + (self.value_from_oneof.parameter_selectors if self.value_from_oneof else ())


class GraphOutputArtifact(Spec):
    """Where a graph's output artifact comes from: the one of these tasks that ran."""

    artifact_selectors: tuple[ArtifactSelector, ...]


class GraphOutputs(Spec):
    """How a graph's outputs are linked to its tasks."""

    parameters: dict[str, GraphOutputParameter] = Field(default_factory=dict)
    artifacts: dict[str, GraphOutputArtifact] = Field(default_factory=dict)

    @property
    def producers(self) -> frozenset[str]:
        """The tasks that they come from."""
        parameters = {s.producer_subtask for output in self.parameters.values() for s in output.selectors}
        artifacts = {
            s.producer_subtask for output in self.artifacts.values() for s in output.artifact_selectors
        }
        return frozenset(parameters | artifacts)


class Dag(Spec):
    """A graph of tasks."""

    tasks: dict[str, Task]
    outputs: GraphOutputs = GraphOutputs()

    @model_validator(mode="after")
    def _is_acyclic(self) -> Self:
        unknown = sorted(self.outputs.producers - self.tasks.keys())
        if unknown:
            raise ValueError(f"an output comes from {', '.join(unknown)}, which is not in the graph")
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
