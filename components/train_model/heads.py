"""The last layer and the loss of each task, and the form in which the loss takes the target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from components.train_model.summaries import Moments
from mulgil.contract import Task
from mulgil.preprocessing.rows import TrainingRows
from mulgil.preprocessing.stored_rows import StoredRows

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Head:
    """What stands at a network's end.

    Attributes:
        task: The task.
        width: Numbers a row: one, or one a class, label or target.
        offset: Of a number to be predicted, its mean over the rows that the head was made for.
        scale: Its standard deviation; the network itself learns the standardised number.
        class_weights: What a row of each class counts in the loss; empty where all count the same.
        quantile: Of a number that is not to be its mean.
    """

    task: Task
    width: int
    offset: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()
    class_weights: tuple[float, ...] = ()
    quantile: float | None = None

    @property
    def activation(self) -> str | None:
        """Of the last layer."""
        if self.task is Task.MULTICLASS_CLASSIFICATION:
            return "softmax"
        return "sigmoid" if self.task.is_classification else None

    @property
    def loss(self) -> keras.losses.Loss:
        """What the fit makes small, and early stopping looks at."""
        if self.task is Task.MULTICLASS_CLASSIFICATION:
            return keras.losses.SparseCategoricalCrossentropy()
        if self.class_weights:
            return LossByRow()
        if self.task.is_classification:
            return keras.losses.BinaryCrossentropy()
        if self.quantile is not None:
            return PinballLoss(self.quantile)
        return keras.losses.MeanSquaredError()

    @property
    def targets(self) -> int:
        """How many numbers a row's truth is."""
        return 1 if self.task is Task.MULTICLASS_CLASSIFICATION else self.width

    @property
    def target_type(self) -> type[np.int32] | type[np.float32]:
        """What the loss takes: the place of a class, or numbers."""
        return np.int32 if self.task is Task.MULTICLASS_CLASSIFICATION else np.float32

    def encode(self, rows: TrainingRows) -> npt.NDArray[np.float32] | npt.NDArray[np.int32]:
        """Write the truth as the loss takes it."""
        if self.task.is_classification:
            return rows.target.astype(self.target_type)
        offset, scale = (self._by_target(values) for values in (self.offset, self.scale))
        return ((rows.target - offset) / scale).astype(np.float32)

    def weigh(self, target: npt.NDArray[Any]) -> Floats | None:
        """Return what each row counts in the loss; `None` where all count the same.

        Args:
            target: The truth as `encode` writes it.

        Shapes:
            (rows,).
        """
        if not self.class_weights:
            return None
        return np.array(self.class_weights, np.float32)[target.astype(np.intp)]

    def in_units(self, network: keras.Model) -> keras.Model:
        """Return the network with its numbers in the target's own unit."""
        if self.task.is_classification:
            return network
        rescaled = keras.layers.Rescaling(self._by_target(self.scale), self._by_target(self.offset))
        return keras.Model(network.input, rescaled(network.output))

    def in_unit(self, numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the head's numbers in the target's own unit; probabilities are."""
        if self.task.is_classification:
            return numbers
        return numbers * self._by_target(self.scale) + self._by_target(self.offset)

    def _by_target(self, values: tuple[float, ...]) -> float | npt.NDArray[np.float64]:
        return values[0] if self.width == 1 else np.array(values)


class LossByRow(keras.losses.Loss):  # type: ignore[misc]
    """The binary cross-entropy of each row.

    Keras's own, of targets of one dimension, is their mean, in which no row can be weighed.
    """

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Compute it.

        Shapes:
            (rows,) all.
        """
        rows = (keras.ops.expand_dims(part, -1) for part in (y_true, y_pred))
        return keras.losses.binary_crossentropy(*rows)


class PinballLoss(keras.losses.Loss):  # type: ignore[misc]
    """The loss that is least at a quantile: a miss below costs by it, one above by what is left to 1.

    Source:
        Koenker & Bassett (1978), Regression quantiles, Econometrica 46.
    """

    def __init__(self, quantile: float) -> None:
        super().__init__(name="pinball")
        self._quantile = quantile

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Compute it.

        Shapes:
            As Keras's own: the mean over the last axis.
        """
        missing = y_true - y_pred
        losses = keras.ops.maximum(self._quantile * missing, (self._quantile - 1) * missing)
        return keras.ops.mean(losses, axis=-1)


def make_head(
    task: Task,
    width: int,
    rows: TrainingRows | StoredRows,
    class_weights: str | tuple[float, ...] | None = None,
    quantile: float | None = None,
) -> Head:
    """Make the head for rows.

    Args:
        task: The task.
        width: How many numbers the model gives for a row.
        rows: What the network is fitted on.
        class_weights: As `training` has them, of one target that is a class.
        quantile: As `training` has it, of numbers.
    """
    targets = rows.targets() if isinstance(rows, StoredRows) else [rows.target]
    if class_weights is not None:
        classes = max(2, width)
        counts = sum(np.bincount(part.astype(np.intp), minlength=classes) for part in targets)
        return Head(task, width, class_weights=_weigh_classes(class_weights, counts))
    if task.is_classification:
        return Head(task, width)
    moments = Moments()
    for part in targets:
        moments.add(part.reshape(len(part), -1))
    # A split's target varies, but that of a fold of it may not.
    deviations = [deviation or 1.0 for deviation in moments.deviation.tolist()]
    return Head(task, width, tuple(moments.mean.tolist()), tuple(deviations), quantile=quantile)


def _weigh_classes(given: str | tuple[float, ...], counts: npt.NDArray[np.intp]) -> tuple[float, ...]:
    """Return weights whose mean over the rows is 1, so that learning rate and penalty keep their sense."""
    # A fold may lack a class.
    weights = 1 / np.maximum(counts, 1) if isinstance(given, str) else np.array(given)
    return tuple((weights * counts.sum() / (weights @ counts)).tolist())
