"""The project file: what is to be predicted, from what, and how well it must be done."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from mulgil.contract.cross_validation import CrossValidation
from mulgil.contract.decision import Decision
from mulgil.contract.dictionary import Contract, mistake
from mulgil.contract.labels import LabelKind
from mulgil.contract.learning import CALLED_METRICS, TASK_FORMS, Gates, Metric, Task, Training
from mulgil.contract.rollout import Rollout
from mulgil.contract.sources import Source, Split

# https://kubernetes.io/docs/concepts/overview/working-with-objects/names (RFC 1123 label); 50 leaves room
# for the suffixes that KServe and Knative append within 63.
ResourceName = Annotated[str, Field(pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$", max_length=50)]

_MEDIAN = 0.5


class Problem(Contract):
    """The problem in the words of those who have it."""

    goal: str = Field(min_length=1, description="What the prediction is for.")
    success_measure: str = Field(min_length=1, description="How anyone will know that it worked.")
    constraints: str | None = Field(default=None, description="What must hold whatever the score.")
    done_today: str | None = Field(default=None, description="How it is decided without a model.")


class Serving(Contract):
    """How the model answers."""

    namespace: ResourceName = Field(default="default", description="The Kubernetes namespace.")
    min_replicas: int = Field(default=1, ge=1, description="Servers kept running.")
    record_predictions: bool = Field(
        default=False,
        description="Whether each prediction is recorded on this machine too, as a cluster's runtime does: "
        "for the replay of logged requests, for labels and for monitoring.",
    )
    unknown_entity: Literal["refuse", "fill"] = Field(
        default="refuse",
        description=(
            "Where a request names an entity that the feature store does not know: `refuse` it, or `fill` "
            "its features by their missing policies."
        ),
    )


def _task(value: Any) -> Any:
    if isinstance(value, str) and value not in set(Task):
        of_images = "; of images it is multiclass_classification" if "image" in value else ""
        raise ValueError(
            f"the tasks of this version are: {', '.join(Task)}{of_images}; received task={value}"
        )
    return value


class Project(Contract):
    """A project: everything about a model but its columns."""

    name: ResourceName = Field(description="Of the model and its endpoint: lower case, digits, hyphens.")
    problem: Problem = Field(description="Why it is made.")
    task: Annotated[Task, BeforeValidator(_task)] = Field(description="The kind of prediction.")
    source: Source = Field(description="Where the rows come from.")
    split: Split = Field(default=Split(), description="How rows are divided.")
    cross_validation: CrossValidation | None = Field(
        default=None,
        description="Folds of the rows that are no test rows, on which a small table's model is scored too.",
    )
    training: Training = Field(default=Training(), description="How the model is fitted.")
    decision: Decision | None = Field(
        default=None, description="From which probability on a yes is called; from 0.5 if not given."
    )
    gates: Gates = Field(default=Gates(), description="What it must show.")
    serving: Serving = Field(default=Serving(), description="How it answers.")
    rollout: Rollout = Field(default=Rollout(), description="How a new version takes over.")

    @model_validator(mode="after")
    def _has_the_tasks_metrics(self) -> Self:
        metrics = TASK_FORMS[self.task].metrics
        named: dict[tuple[str, ...], Metric] = {("gates", "floors", m): m for m in self.gates.floors}
        if self.gates.primary_metric is not None:
            named["gates", "primary_metric"] = self.gates.primary_metric
        if self.decision is not None and self.task is not Task.BINARY_CLASSIFICATION:
            text = f"a threshold goes with task=binary_classification; received task={self.task}"
            raise ValidationError.from_exception_data("Project", [mistake(text, "decision")])
        self._has_folds_for_what_is_asked()
        if not self.task.is_classification:
            asked = {
                ("training", "calibration"): self.training.calibration,
                ("gates", "calibration_error"): self.gates.calibration_error,
            }
            wrong = [
                mistake(f"probabilities are calibrated, and {self.task} has none", *place)
                for place, value in asked.items()
                if value is not None
            ]
            if wrong:
                raise ValidationError.from_exception_data("Project", wrong)
        if self.task.is_classification and self.gates.quantile is not None:
            text = f"a quantile is of numbers, and {self.task} predicts none"
            raise ValidationError.from_exception_data("Project", [mistake(text, "gates", "quantile")])
        mistakes = [
            mistake(f"{self.task} has the metrics {', '.join(metrics)}; received {metric}", *place)
            for place, metric in named.items()
            if metric not in metrics
        ]
        if mistakes:
            raise ValidationError.from_exception_data("Project", mistakes)
        return self

    @model_validator(mode="after")
    def _judges_the_quantile_that_is_fitted(self) -> Self:
        fitted, gates = self.training.quantile, self.gates
        if fitted is None:
            if gates.primary_metric is Metric.PINBALL and gates.quantile not in (None, _MEDIAN):
                text = (
                    f"a model that is judged by this quantile has to be fitted to it: expected "
                    f"training.quantile={gates.quantile:g}; received none"
                )
                raise ValidationError.from_exception_data("Project", [mistake(text, "gates", "quantile")])
            return self
        if self.task.is_classification:
            text = f"a quantile is of numbers, and {self.task} predicts none"
            raise ValidationError.from_exception_data("Project", [mistake(text, "training", "quantile")])
        if gates.quantile not in (None, fitted):
            text = f"expected training.quantile={fitted:g}, which is fitted; received {gates.quantile:g}"
            raise ValidationError.from_exception_data("Project", [mistake(text, "gates", "quantile")])
        primary = gates.primary_metric or Metric.PINBALL
        # The mean absolute error is least at the median, and at no other quantile.
        if primary is not Metric.PINBALL and (primary, fitted) != (Metric.MAE, _MEDIAN):
            text = (
                f"a model that is fitted to training.quantile={fitted:g} is judged by its loss: expected "
                f"pinball; received {primary}"
            )
            raise ValidationError.from_exception_data("Project", [mistake(text, "gates", "primary_metric")])
        # Written once, and read by a step that does not see `training`.
        settled = gates.model_copy(update={"quantile": fitted, "primary_metric": primary})
        object.__setattr__(self, "gates", settled)
        return self

    @model_validator(mode="after")
    def _judges_labels_by_the_quantile_that_is_fitted(self) -> Self:
        fitted, labels = self.training.quantile, self.rollout.labels
        if labels is None or labels.kind is not LabelKind.NUMBER:
            return self
        if labels.quantile not in (None, fitted):
            told = (
                "none, as none is fitted"
                if fitted is None
                else f"training.quantile={fitted:g}, which is fitted"
            )
            text = f"expected {told}; received {labels.quantile:g}"
            place = mistake(text, "rollout", "labels", "quantile")
            raise ValidationError.from_exception_data("Project", [place])
        # Written once, and read by who drives a rollout and does not see `training`.
        judging = labels.model_copy(update={"quantile": fitted})
        object.__setattr__(self, "rollout", self.rollout.model_copy(update={"labels": judging}))
        return self

    def _has_folds_for_what_is_asked(self) -> None:
        metrics = TASK_FORMS[self.task].metrics
        wrong = []
        if (
            self.cross_validation is not None
            and self.split.kind == "time"
            and self.cross_validation.repeats > 1
        ):
            text = (
                "folds of a table split by time go by the times, and are the same whenever they are made: "
                f"expected 1; received {self.cross_validation.repeats}"
            )
            wrong.append(mistake(text, "cross_validation", "repeats"))
        for metric in self.gates.cross_validated_floors:
            place = ("gates", "cross_validated_floors", metric)
            if self.cross_validation is None:
                wrong.append(mistake("it goes with the section cross_validation; received none", *place))
            elif metric not in metrics:
                text = f"{self.task} has the metrics {', '.join(metrics)}; received {metric}"
                wrong.append(mistake(text, *place))
            elif self.decision is not None and metric in CALLED_METRICS:
                text = f"{metric} goes by `decision`, which is made on rows of the folds; received {metric}"
                wrong.append(mistake(text, *place))
        if wrong:
            raise ValidationError.from_exception_data("Project", wrong)

    @property
    def primary_metric(self) -> Metric:
        """The metric that comparisons use."""
        return self.gates.primary_metric or TASK_FORMS[self.task].primary_metric

    @property
    def judged_quantile(self) -> float | None:
        """The quantile that predictions are compared as; `None` where comparisons use another metric."""
        gates, primary = self.gates, self.primary_metric
        is_of_a_quantile = primary is Metric.PINBALL or (primary, gates.quantile) == (Metric.MAE, _MEDIAN)
        return gates.pinball_quantile if is_of_a_quantile else None

    def restricted_to(self, sections: Collection[str] | None) -> Self:
        """Return a copy that has these keys alone; reading another is an AttributeError."""
        copy = self.model_copy()
        if sections is not None:
            for name in type(self).model_fields.keys() - set(sections):
                del copy.__dict__[name]
        return copy
