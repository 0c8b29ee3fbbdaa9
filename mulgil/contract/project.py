"""The project file: what is to be predicted, from what, and how well it must be done."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from mulgil.contract.dictionary import Contract
from mulgil.contract.rollout import Rollout

# https://kubernetes.io/docs/concepts/overview/working-with-objects/names (RFC 1123 label); 50 leaves room
# for the suffixes that KServe and Knative append within 63.
ResourceName = Annotated[str, Field(pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$", max_length=50)]
Ratio = Annotated[float, Field(gt=0, lt=1)]
# What numpy, scikit-learn and Keras all take.
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class Task(StrEnum):
    """What kind of prediction a project makes."""

    BINARY_CLASSIFICATION = "binary_classification"


class Metric(StrEnum):
    """The metrics of binary classification that a gate can use; all but the losses are better high."""

    ROC_AUC = "roc_auc"
    PR_AUC = "pr_auc"
    ACCURACY = "accuracy"
    PRECISION = "precision"
    RECALL = "recall"
    F1 = "f1"
    LOG_LOSS = "log_loss"
    BRIER = "brier"

    @property
    def is_better_high(self) -> bool:
        """Whether a greater value is a better model."""
        return self not in (Metric.LOG_LOSS, Metric.BRIER)


class Problem(Contract):
    """The problem in the words of those who have it."""

    goal: str = Field(min_length=1, description="What the prediction is for.")
    success_measure: str = Field(min_length=1, description="How anyone will know that it worked.")
    constraints: str | None = Field(default=None, description="What must hold whatever the score.")
    done_today: str | None = Field(default=None, description="How it is decided without a model.")


class CsvSource(Contract):
    """Rows in a delimited text file."""

    kind: Literal["csv"]
    location: str = Field(
        min_length=1, description="A path, relative to the project folder, or an HTTP(S) URL."
    )
    delimiter: str = Field(default=",", pattern=r'^[^\r\n"]$', description="The one sign between two cells.")
    header: tuple[str, ...] | None = Field(
        default=None,
        min_length=1,
        description="The columns, where the file itself has no header line; one that it has goes before.",
    )
    missing_values: tuple[str, ...] = Field(
        default=("",), description="Cells that stand for a missing value."
    )

    @field_validator("header")
    @classmethod
    def _names_each_column_once(cls, header: tuple[str, ...] | None) -> tuple[str, ...] | None:
        twice = sorted({name for name in header or () if (header or ()).count(name) > 1})
        if twice:
            raise ValueError(f"each column stands once; twice here: {', '.join(twice)}")
        return header


class ParquetSource(Contract):
    """Rows in a Parquet file."""

    kind: Literal["parquet"]
    location: str = Field(
        min_length=1, description="A path, relative to the project folder, or an HTTP(S) URL."
    )


class PythonSource(Contract):
    """Rows from a function of the project folder."""

    kind: Literal["python"]
    function: str = Field(
        pattern=r"^[A-Za-z_]\w*:[A-Za-z_]\w*$",
        description="`module:function` in the project folder; it returns a pandas DataFrame.",
    )


Source = Annotated[CsvSource | ParquetSource | PythonSource, Field(discriminator="kind")]


class Split(Contract):
    """How rows are divided. The remainder after test and validation trains."""

    kind: Literal["random", "stratified"] = Field(
        default="stratified", description="Stratified keeps the target's shares in every split."
    )
    test_ratio: Ratio = Field(default=0.2, description="Share of the rows looked at once, at the end.")
    validation_ratio: Ratio = Field(default=0.2, description="Share of the rows that choices are made on.")
    seed: Seed = Field(default=0, description="Of the shuffle.")

    @model_validator(mode="after")
    def _leaves_rows_to_train(self) -> Self:
        if self.test_ratio + self.validation_ratio >= 0.9:
            raise ValueError(
                "at least a tenth of the rows trains; received "
                f"test_ratio={self.test_ratio} validation_ratio={self.validation_ratio}"
            )
        return self


class Training(Contract):
    """The multilayer perceptron and how it is fitted."""

    hidden_units: tuple[Annotated[int, Field(gt=0)], ...] = Field(
        default=(16,), description="Units of each hidden layer; none is logistic regression."
    )
    # Of the few values tried, these had the least mean log loss on the validation rows of ten splits of the
    # shipped breast cancer table.
    dropout: float = Field(default=0.3, ge=0, lt=1, description="Share of units dropped after each layer.")
    l2: float = Field(default=0.003, ge=0, description="Weight of the squared norm in the loss.")
    learning_rate: float = Field(default=0.01, gt=0, description="Of Adam.")
    batch_size: int = Field(default=32, gt=0, description="Rows a step.")
    max_epochs: int = Field(default=200, gt=0, description="Passes over the training rows, at most.")
    patience: int = Field(
        default=20, gt=0, description="Epochs without a better validation loss before it stops."
    )
    seed: Seed = Field(default=0, description="Of the initial weights, the shuffles and the dropout.")


class Gates(Contract):
    """What a model must show before it is registered and deployed."""

    primary_metric: Metric = Field(default=Metric.ROC_AUC, description="The one that comparisons use.")
    floors: dict[Metric, float] = Field(
        default_factory=dict, description="Least value on the test rows, or greatest for a loss, by metric."
    )
    baseline_margin: float = Field(
        default=0.0, ge=0, description="How much better than the baseline the primary metric must be."
    )
    champion_margin: float = Field(
        default=0.01, ge=0, description="How much worse than the champion the primary metric may be."
    )
    confidence: Ratio = Field(default=0.95, description="Of the bootstrap intervals.")


class Serving(Contract):
    """How the model answers."""

    namespace: ResourceName = Field(default="default", description="The Kubernetes namespace.")
    min_replicas: int = Field(default=1, ge=1, description="Servers kept running.")
    unknown_entity: Literal["refuse", "fill"] = Field(
        default="refuse",
        description=(
            "Where a request names an entity that the feature store does not know: `refuse` it, or `fill` "
            "its features by their missing policies."
        ),
    )


def _task(value: Any) -> Any:
    if isinstance(value, str) and value not in set(Task):
        raise ValueError(f"the tasks of this version are: {', '.join(Task)}; received task={value}")
    return value


class Project(Contract):
    """A project: everything about a model but its columns."""

    name: ResourceName = Field(description="Of the model and its endpoint: lower case, digits, hyphens.")
    problem: Problem = Field(description="Why it is made.")
    task: Annotated[Task, BeforeValidator(_task)] = Field(description="The kind of prediction.")
    source: Source = Field(description="Where the rows come from.")
    split: Split = Field(default=Split(), description="How rows are divided.")
    training: Training = Field(default=Training(), description="How the model is fitted.")
    gates: Gates = Field(default=Gates(), description="What it must show.")
    serving: Serving = Field(default=Serving(), description="How it answers.")
    rollout: Rollout = Field(default=Rollout(), description="How a new version takes over.")

    def restricted_to(self, sections: Collection[str] | None) -> Self:
        """Return a copy that has these keys alone; reading another is an AttributeError."""
        copy = self.model_copy()
        if sections is not None:
            for name in type(self).model_fields.keys() - set(sections):
                del copy.__dict__[name]
        return copy
