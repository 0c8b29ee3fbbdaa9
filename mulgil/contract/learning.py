"""What kind of prediction is made, how a model is fitted, and what it must show."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from mulgil.contract.behavior import BehaviorTest
from mulgil.contract.dictionary import ColumnType, Contract, DataDictionary, ImageForm, mistake
from mulgil.contract.protocol import CapacityLadder, LearningCurve
from mulgil.contract.selection import Selection
from mulgil.contract.tuning import Tuning

Ratio = Annotated[float, Field(gt=0, lt=1)]
# What numpy, scikit-learn and Keras all take.
SEEDS = 2**32
Seed = Annotated[int, Field(ge=0, lt=SEEDS)]


def shift_seed(seed: int, by: int) -> int:
    """Return another seed, as many further on; after the last comes the first."""
    return (seed + by) % SEEDS


class Task(StrEnum):
    """What kind of prediction a project makes."""

    BINARY_CLASSIFICATION = "binary_classification"
    MULTICLASS_CLASSIFICATION = "multiclass_classification"
    MULTILABEL_CLASSIFICATION = "multilabel_classification"
    SCALAR_REGRESSION = "scalar_regression"
    VECTOR_REGRESSION = "vector_regression"

    @property
    def is_classification(self) -> bool:
        """Whether the model gives probabilities."""
        return self not in (Task.SCALAR_REGRESSION, Task.VECTOR_REGRESSION)


class Metric(StrEnum):
    """What is measured on the test rows; all but the losses and errors are better high.

    Of several classes the mean of each against the rest, of several labels or targets the mean over them.
    """

    ROC_AUC = "roc_auc"
    PR_AUC = "pr_auc"
    ACCURACY = "accuracy"
    PRECISION = "precision"
    RECALL = "recall"
    F1 = "f1"
    LOG_LOSS = "log_loss"
    BRIER = "brier"
    FALSE_POSITIVE_RATE = "false_positive_rate"
    FALSE_NEGATIVE_RATE = "false_negative_rate"
    SUBSET_ACCURACY = "subset_accuracy"
    R2 = "r2"
    MAE = "mae"
    RMSE = "rmse"
    PINBALL = "pinball"

    @property
    def is_better_high(self) -> bool:
        """Whether a greater value is a better model."""
        return self not in _BETTER_LOW


_BETTER_LOW = frozenset(
    {
        Metric.LOG_LOSS,
        Metric.BRIER,
        Metric.FALSE_POSITIVE_RATE,
        Metric.FALSE_NEGATIVE_RATE,
        Metric.MAE,
        Metric.RMSE,
        Metric.PINBALL,
    }
)
_OF_PROBABILITIES = (Metric.ROC_AUC, Metric.PR_AUC, Metric.LOG_LOSS, Metric.BRIER)
_OF_CALLS = (Metric.ACCURACY, Metric.PRECISION, Metric.RECALL, Metric.F1)
_OF_ERRORS = (Metric.FALSE_POSITIVE_RATE, Metric.FALSE_NEGATIVE_RATE)
_OF_NUMBERS = (Metric.R2, Metric.MAE, Metric.RMSE, Metric.PINBALL)
# Those that look at what is called and not at how sure it is.
CALLED_METRICS = frozenset({*_OF_CALLS, *_OF_ERRORS})


@dataclass(frozen=True)
class TaskForm:
    """What a task asks of the dictionary, and what it is judged by.

    Attributes:
        target_types: What a target column may hold.
        has_several_targets: Whether two columns or more have the role target, or exactly one.
        metrics: What is measured, in the order of the report.
        primary_metric: The one that comparisons use where the project names none.
        output: Name of the output in the model itself.
    """

    target_types: frozenset[ColumnType]
    has_several_targets: bool
    metrics: tuple[Metric, ...]
    primary_metric: Metric
    output: str


_NUMBERS = frozenset({ColumnType.FLOAT, ColumnType.INTEGER})

TASK_FORMS = {
    Task.BINARY_CLASSIFICATION: TaskForm(
        target_types=frozenset({ColumnType.BOOLEAN}),
        has_several_targets=False,
        metrics=(*_OF_PROBABILITIES[:2], *_OF_CALLS, *_OF_PROBABILITIES[2:], *_OF_ERRORS),
        primary_metric=Metric.ROC_AUC,
        output="probability",
    ),
    Task.MULTICLASS_CLASSIFICATION: TaskForm(
        target_types=frozenset({ColumnType.CATEGORY}),
        has_several_targets=False,
        metrics=(*_OF_CALLS, *_OF_PROBABILITIES),
        primary_metric=Metric.ACCURACY,
        output="probabilities",
    ),
    Task.MULTILABEL_CLASSIFICATION: TaskForm(
        target_types=frozenset({ColumnType.BOOLEAN}),
        has_several_targets=True,
        metrics=(
            *_OF_PROBABILITIES[:2],
            Metric.SUBSET_ACCURACY,
            *_OF_CALLS,
            *_OF_PROBABILITIES[2:],
            *_OF_ERRORS,
        ),
        primary_metric=Metric.ROC_AUC,
        output="probabilities",
    ),
    Task.SCALAR_REGRESSION: TaskForm(
        target_types=_NUMBERS,
        has_several_targets=False,
        metrics=_OF_NUMBERS,
        primary_metric=Metric.R2,
        output="prediction",
    ),
    Task.VECTOR_REGRESSION: TaskForm(
        target_types=_NUMBERS,
        has_several_targets=True,
        metrics=_OF_NUMBERS,
        primary_metric=Metric.R2,
        output="predictions",
    ),
}


class Family(StrEnum):
    """What kind of model is fitted, the simplest first."""

    LINEAR = "linear"
    DECISION_TREE = "decision_tree"
    NEAREST_NEIGHBORS = "nearest_neighbors"
    SUPPORT_VECTOR_MACHINE = "support_vector_machine"
    RANDOM_FOREST = "random_forest"
    GRADIENT_BOOSTING = "gradient_boosting"
    NEURAL_NETWORK = "neural_network"
    AUTO = "auto"


@dataclass(frozen=True)
class Domain:
    """What a hyperparameter may be.

    Attributes:
        low: Least value.
        high: Greatest value.
        is_whole: Whether it is a whole number.
    """

    low: float
    high: float
    is_whole: bool = True

    def explain(self, value: float) -> str | None:
        """Say why a value is not in the domain; `None` where it is."""
        is_right = self.low <= value <= self.high and (not self.is_whole or value == int(value))
        kind = "a whole number" if self.is_whole else "a number"
        return None if is_right else f"expected {kind} from {self.low:g} to {self.high:g}; received {value:g}"


_PENALTY = Domain(1e-6, 1e6, is_whole=False)
_DEPTH, _LEAF = Domain(1, 100), Domain(1, 100_000)

# By scikit-learn's own names. The neural network's stand in `training` itself.
HYPERPARAMETERS: dict[Family, dict[str, Domain]] = {
    Family.LINEAR: {"C": _PENALTY},
    Family.DECISION_TREE: {"max_depth": _DEPTH, "min_samples_leaf": _LEAF},
    Family.NEAREST_NEIGHBORS: {"n_neighbors": Domain(1, 1000)},
    Family.SUPPORT_VECTOR_MACHINE: {"C": _PENALTY, "gamma": _PENALTY},
    Family.RANDOM_FOREST: {
        "n_estimators": Domain(1, 2000),
        "max_depth": _DEPTH,
        "min_samples_leaf": _LEAF,
    },
    Family.GRADIENT_BOOSTING: {
        "n_estimators": Domain(1, 2000),
        "learning_rate": Domain(1e-4, 1, is_whole=False),
        "max_depth": _DEPTH,
        "min_samples_leaf": _LEAF,
        "subsample": Domain(0.1, 1, is_whole=False),
    },
    Family.NEURAL_NETWORK: {},
    Family.AUTO: {},
}


# A quantile is what the least pinball loss gives; the others' losses are of means or of neighbours.
QUANTILE_FAMILIES = (Family.LINEAR, Family.GRADIENT_BOOSTING, Family.NEURAL_NETWORK)

# What of `training` may be tuned: of any family, of any network, and of one that is described here.
TUNED_OF_PREPROCESSING = frozenset({"imputation", "scaling"})
TUNED_OF_A_FIT = frozenset({"batch_size", "learning_rate", "schedule"})
TUNED_OF_A_NETWORK = frozenset(
    {"activation", "batch_normalization", "convolutions", "dropout", "hidden_units", "l1", "l2"}
)


class Augmentation(Contract):
    """How training images are varied, anew in each epoch; what is served sees them as they are."""

    shift: float = Field(default=0, ge=0, lt=1, description="Up to this share of height and width, any way.")
    rotation: float = Field(default=0, ge=0, le=180, description="Up to so many degrees, either way.")
    zoom: float = Field(default=0, ge=0, lt=1, description="In or out by up to this share.")
    flip: bool = Field(default=False, description="Left and right exchanged, every other time.")


class Training(Contract):
    """The model and how it is fitted."""

    family: Family = Field(
        default=Family.NEURAL_NETWORK,
        description="The kind of model; `auto` compares all by cross-validation, and takes the simplest "
        "within one standard error of the best.",
    )
    hyperparameters: dict[str, float] = Field(
        default_factory=dict,
        description="Of a family of scikit-learn's, by its own names, such as `n_estimators`; or what a "
        "`builder` is given.",
    )
    time_budget_seconds: float = Field(
        default=300, gt=0, description="How long `auto` may compare; the first family is always compared."
    )
    folds: int = Field(default=5, ge=2, le=20, description="Parts of the rows that `auto` holds out in turn.")
    hidden_units: tuple[Annotated[int, Field(gt=0)], ...] = Field(
        default=(16,), description="Units of each hidden layer; none is logistic or linear regression."
    )
    builder: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z_]\w*:[A-Za-z_]\w*$",
        description="`module:function` in the project folder that builds the network in place of the keys "
        "below: `def build_model(spec, hyperparameters):` returns a Keras model.",
    )
    convolutions: tuple[Annotated[int, Field(gt=0)], ...] = Field(
        default=(),
        description="Of images: filters of 3 x 3 in each layer, after which the greatest of 2 x 2 is kept.",
    )
    augmentation: Augmentation | None = Field(
        default=None, description="Of images: how those that are trained on are varied."
    )
    activation: Literal["relu", "swish", "gelu", "elu", "tanh"] = Field(
        default="relu", description="Of the hidden layers."
    )
    batch_normalization: bool = Field(
        default=False, description="Whether each hidden layer's outputs are standardised by batch."
    )
    # Of the few values tried, these had the least mean log loss on the validation rows of ten splits of the
    # shipped breast cancer table.
    dropout: float = Field(default=0.3, ge=0, lt=1, description="Share of units dropped after each layer.")
    l2: float = Field(default=0.003, ge=0, description="Weight of the squared norm in the loss.")
    l1: float = Field(default=0, ge=0, description="Weight of the sum of absolute weights in the loss.")
    learning_rate: float = Field(default=0.01, gt=0, description="Of Adam.")
    schedule: Literal["constant", "cosine", "exponential"] = Field(
        default="constant",
        description="How the learning rate falls over `max_epochs`: not at all, along half a cosine to zero, "
        "or by a constant share each step to a hundredth.",
    )
    batch_size: int = Field(default=32, gt=0, description="Rows a step.")
    max_epochs: int = Field(default=200, gt=0, description="Passes over the training rows, at most.")
    patience: int = Field(
        default=20, gt=0, description="Epochs without a better validation loss before it stops."
    )
    imputation: Literal["mean", "median", "most_frequent"] | None = Field(
        default=None,
        description="What a missing number is filled with, of every column whose `missing` in the dictionary "
        "is one of these; the dictionary's if not given.",
    )
    scaling: Literal["standard", "min_max", "robust"] | None = Field(
        default=None,
        description="How numbers are scaled, of every column that the dictionary scales at all; the "
        "dictionary's if not given.",
    )
    memory_megabytes: float = Field(
        default=64,
        gt=0,
        description="Of rows that are more than that once they are encoded, in float32, a network's are "
        "encoded into shards on the disk and streamed; other families are fitted on as many of them as that, "
        "drawn by lot.",
    )
    class_weights: (
        Literal["balanced"] | Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=2)] | None
    ) = Field(
        default=None,
        description="What a row counts in the loss, by its class: `balanced` makes all classes count the "
        "same together; or a number a class, in the order of the target's categories, or first no, then yes. "
        "Only their ratios count.",
    )
    quantile: Ratio | None = Field(
        default=None,
        description="Of a number: what is predicted is this quantile and not the mean, by the pinball loss. "
        "At 0.9 nine of ten true values lie below the prediction. The gates then go by `pinball` of it, or "
        "at 0.5 by `mae` where it is asked for.",
    )
    calibration: Literal["isotonic", "platt", "temperature"] | None = Field(
        default=None,
        description="How probabilities are mapped to what comes true, fitted on the validation rows; not at "
        "all if not given. `isotonic` asks for a thousand of them or so.",
    )
    selection: Selection | None = Field(
        default=None, description="How features are chosen by the training rows; all are kept if not given."
    )
    tuning: Tuning | None = Field(
        default=None, description="Which settings are tried beside these; none if not given."
    )
    capacity_ladder: CapacityLadder | None = Field(
        default=None,
        description="Models of more and more capacity that are fitted without a penalty beside this one, for "
        "the report: until one overfits. `{}` takes the family's own; none if not given.",
    )
    learning_curve: LearningCurve | None = Field(
        default=None,
        description="How the cross-validated loss falls with the number of rows, for the report; `{}` asks "
        "for it, and it is not measured if not given.",
    )
    final_fit: Literal["train_and_validation", "train"] = Field(
        default="train_and_validation",
        description="What the model is fitted on that is served. What validation rows choose, be it epochs, "
        "a calibration or a threshold, is chosen by a model of the training rows either way.",
    )
    precision: Literal["float32", "mixed_float16", "mixed_bfloat16"] = Field(
        default="float32",
        description="What a network computes in while it is fitted, where there is a GPU; without one it is "
        "float32. Weights, losses and what is served are float32 in any case.",
    )
    seed: Seed | None = Field(
        default=0,
        description="Of the initial weights, the shuffles and the dropout: the same rows and seed give the "
        "same model. null draws another one for each training, and says which.",
    )

    @model_validator(mode="after")
    def _has_the_familys_hyperparameters(self) -> Self:
        if self.builder is not None:
            if self.family is not Family.NEURAL_NETWORK:
                raise ValueError(f"`builder` goes with family=neural_network; received family={self.family}")
            return self
        domains = HYPERPARAMETERS[self.family]
        known = ", ".join(domains) or "none here"
        mistakes = [
            mistake(text, "hyperparameters", name)
            for name, value in self.hyperparameters.items()
            for text in [
                domains[name].explain(value)
                if name in domains
                else f"{self.family} has the hyperparameters {known}; received {name}"
            ]
            if text is not None
        ]
        if mistakes:
            raise ValidationError.from_exception_data("Training", mistakes)
        return self

    @model_validator(mode="after")
    def _weighs_what_can_be_weighed(self) -> Self:
        if self.class_weights is not None and self.family is Family.NEAREST_NEIGHBORS:
            raise ValueError(
                f"`class_weights`: family={self.family} takes no weights; nothing in it is fitted"
            )
        return self

    @model_validator(mode="after")
    def _fits_a_quantile_by_what_can(self) -> Self:
        if self.quantile is not None and self.family not in (*QUANTILE_FAMILIES, Family.AUTO):
            raise ValueError(
                f"`quantile` goes with family={', '.join(QUANTILE_FAMILIES)} or auto; received "
                f"family={self.family}, quantile={self.quantile:g}"
            )
        return self

    @model_validator(mode="after")
    def _has_the_familys_precision(self) -> Self:
        if self.precision != "float32" and self.family not in (Family.NEURAL_NETWORK, Family.AUTO):
            raise ValueError(
                f"`precision` goes with family=neural_network or auto; received family={self.family}, "
                f"precision={self.precision}"
            )
        return self

    @model_validator(mode="after")
    def _tunes_what_there_is(self) -> Self:
        if self.tuning is None:
            return self
        if self.family is Family.AUTO:
            raise ValueError("`tuning` goes with one family; received family=auto")
        if self.tuning.method == "hyperband" and self.family is not Family.NEURAL_NETWORK:
            raise ValueError(f"hyperband goes by epochs, and family={self.family} has none")
        mistakes = []
        for name, values in self.tuning.space.items():
            known = self._known_settings | TUNED_OF_PREPROCESSING
            texts = (self._explain_setting(name, value, known, "is tuned by") for value in values.ends)
            text = next((text for text in texts if text is not None), None)
            if text is not None:
                mistakes.append(mistake(text, "tuning", "space", name))
        if mistakes:
            raise ValidationError.from_exception_data("Training", mistakes)
        return self

    @model_validator(mode="after")
    def _climbs_what_there_is(self) -> Self:
        if self.capacity_ladder is None:
            return self
        if self.builder is not None and not self.capacity_ladder.steps:
            raise ValueError(
                "`capacity_ladder`: what grows in a `builder` is for the project to say; expected `steps`, "
                "such as [{units: 4}, {units: 64}]"
            )
        if self.family is Family.AUTO and self.capacity_ladder.steps:
            raise ValueError("`steps` of `capacity_ladder` go with one family; received family=auto")
        mistakes = [
            mistake(text, "capacity_ladder", "steps", place, name)
            for place, step in enumerate(self.capacity_ladder.steps)
            for name, value in step.items()
            for text in [self._explain_setting(name, value, self._known_settings, "grows by")]
            if text is not None
        ]
        if mistakes:
            raise ValidationError.from_exception_data("Training", mistakes)
        return self

    @property
    def _known_settings(self) -> frozenset[str]:
        """What makes the family's model, but for a builder's own hyperparameters."""
        if self.family is not Family.NEURAL_NETWORK:
            return frozenset(HYPERPARAMETERS[self.family])
        return TUNED_OF_A_FIT if self.builder else TUNED_OF_A_FIT | TUNED_OF_A_NETWORK

    def _explain_setting(self, name: str, value: Any, known: Collection[str], verb: str) -> str | None:
        """Say why a setting cannot be given a value; `None` where it can."""
        is_the_builders = self.builder is not None and name not in type(self).model_fields
        if name not in known and not is_the_builders:
            return f"{self.family} {verb} {', '.join(sorted(known))}; received {name}"
        try:
            self.with_settings({name: value})
        except ValidationError as exc:
            return f"{exc.errors()[0]['msg'].removeprefix('Value error, ')}; received {value}"
        return None

    def with_settings(self, settings: Mapping[str, Any]) -> Self:
        """Return these with others in place of some, and nothing left to tune or to show.

        Raises:
            pydantic.ValidationError: A value is not allowed.
        """
        declared = self.model_dump() | {"tuning": None, "capacity_ladder": None, "learning_curve": None}
        of_family = dict(self.hyperparameters)
        for name, value in settings.items():
            # The family's own first: `learning_rate` is one of gradient_boosting, and of a network's fit.
            is_of_family = name in HYPERPARAMETERS[self.family] or name not in type(self).model_fields
            (of_family if is_of_family else declared)[name] = value
        return self.model_validate(declared | {"hyperparameters": of_family})

    def is_whole(self, name: str) -> bool:
        """Return whether a setting is a whole number."""
        if name in HYPERPARAMETERS[self.family]:
            return HYPERPARAMETERS[self.family][name].is_whole
        field = type(self).model_fields.get(name)
        return field is not None and field.annotation is int


class Gates(Contract):
    """What a model must show before it is registered and deployed."""

    primary_metric: Metric | None = Field(
        default=None, description="The one that comparisons use; if not given, the task's first."
    )
    floors: dict[Metric, float] = Field(
        default_factory=dict, description="Least value on the test rows, or greatest for a loss, by metric."
    )
    cross_validated_floors: dict[Metric, float] = Field(
        default_factory=dict,
        description="Least mean over the folds of `cross_validation`, or greatest for a loss, by metric.",
    )
    baseline_margin: float = Field(
        default=0.0, ge=0, description="How much better than the baseline the primary metric must be."
    )
    champion_margin: float = Field(
        default=0.01, ge=0, description="How much worse than the champion the primary metric may be."
    )
    slice_margin: float | None = Field(
        default=None,
        ge=0,
        description="How much worse than on all rows the primary metric may surely be in a group of them: by "
        "code, yes or no, or quarter of a number's rows; if not given, groups are measured and not judged.",
    )
    calibration_error: Ratio | None = Field(
        default=None,
        description="How far probabilities may be from what comes true: the root of the mean squared "
        "difference over ten groups of rows, less what chance makes of it.",
    )
    behaviors: tuple[BehaviorTest, ...] = Field(
        default=(),
        description="What must become of the prediction where one column changes: invariance and directional "
        "tests, on the test rows.",
    )
    latency_milliseconds: float | None = Field(
        default=None,
        gt=0,
        description="What 99 of 100 single rows may take at most, from raw columns to the prediction, where "
        "the model is judged; HTTP is left out.",
    )
    bundle_megabytes: float | None = Field(
        default=None, gt=0, description="What the files may weigh that a server fetches, in 1,000,000 bytes."
    )
    confidence: Ratio = Field(default=0.95, description="Of the bootstrap intervals.")
    quantile: Ratio | None = Field(
        default=None,
        description="Of the metric `pinball`, that of `training` or 0.5 if not given: at 0.9 a prediction "
        "that is too low costs nine times as much as one that is as much too high.",
    )

    @property
    def pinball_quantile(self) -> float:
        """The quantile that `pinball` is of."""
        return 0.5 if self.quantile is None else self.quantile


def explain_targets(task: Task, dictionary: DataDictionary) -> str | None:
    """Say why a dictionary's targets are not a task's; `None` where they are."""
    form = TASK_FORMS[task]
    targets = dictionary.targets
    received = ", ".join(f"{column.name} ({column.type})" for column in targets)
    types = " or ".join(sorted(form.target_types))
    has_number = len(targets) > 1 if form.has_several_targets else len(targets) == 1
    if not has_number or any(column.type not in form.target_types for column in targets):
        number = "several columns" if form.has_several_targets else "one column"
        return f"{task} predicts {number} of type {types}; received {received}"
    if task is Task.MULTICLASS_CLASSIFICATION and len(targets[0].categories or ()) < 2:
        return f"{task} predicts one of at least two categories; received {received} of one"
    return None


def explain_class_weights(training: Training, task: Task, dictionary: DataDictionary) -> str | None:
    """Say why a training's class weights are not for a task's classes; `None` where they are."""
    weights = training.class_weights
    if weights is None:
        return None
    if task not in (Task.BINARY_CLASSIFICATION, Task.MULTICLASS_CLASSIFICATION):
        return f"class_weights: of one target that is a class, which {task} has not"
    classes = dictionary.targets[0].categories or ("no", "yes")
    if isinstance(weights, tuple) and len(weights) != len(classes):
        return f"class_weights: expected one for each of {', '.join(classes)}; received {len(weights)}"
    return None


def explain_network(training: Training, dictionary: DataDictionary) -> str | None:
    """Say why a dictionary's features are not a network's; `None` where they are."""
    image = next((column.image for column in dictionary.features if column.image is not None), None)
    of_images = [
        key
        for key, is_given in (
            ("convolutions", training.convolutions),
            ("augmentation", training.augmentation is not None),
        )
        if is_given
    ]
    if image is None:
        return f"{' and '.join(of_images)}: of images, and no feature is one" if of_images else None
    sides = _sides_after(image, len(training.convolutions))
    if training.builder is None and min(sides) < 1:
        return (
            f"convolutions: an image of {image.height} x {image.width} has nothing left after "
            f"{len(training.convolutions)} layers, each of which halves it; received "
            f"convolutions={list(training.convolutions)}"
        )
    return None


def _sides_after(image: ImageForm, layers: int) -> tuple[int, int]:
    height, width = image.height, image.width
    for _ in range(layers):
        # 3 x 3 without padding, then 2 x 2.
        height, width = (height - 2) // 2, (width - 2) // 2
    return height, width
