"""The last layer and the loss of each task, and the form in which the loss takes the target."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np
import numpy.typing as npt

from mulgil.contract import Task
from mulgil.preprocessing.rows import TrainingRows

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Head:
    """What stands at a network's end.

    Attributes:
        task: The task.
        width: Numbers a row: one, or one a class, label or target.
        offset: Of a number to be predicted, its mean over the rows that the head was made for.
        scale: Its standard deviation; the network itself learns the standardised number.
    """

    task: Task
    width: int
    offset: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()

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
        if self.task.is_classification:
            return keras.losses.BinaryCrossentropy()
        return keras.losses.MeanSquaredError()

    def encode(self, rows: TrainingRows) -> npt.NDArray[np.float32] | npt.NDArray[np.int32]:
        """Write the truth as the loss takes it."""
        if self.task is Task.MULTICLASS_CLASSIFICATION:
            return rows.target.astype(np.int32)
        if self.task.is_classification:
            return rows.target.astype(np.float32)
        offset, scale = (self._by_target(values) for values in (self.offset, self.scale))
        return ((rows.target - offset) / scale).astype(np.float32)

    def in_units(self, network: keras.Model) -> keras.Model:
        """Return the network with its numbers in the target's own unit."""
        if self.task.is_classification:
            return network
        rescaled = keras.layers.Rescaling(self._by_target(self.scale), self._by_target(self.offset))
        return keras.Model(network.input, rescaled(network.output))

    def _by_target(self, values: tuple[float, ...]) -> float | npt.NDArray[np.float64]:
        return values[0] if self.width == 1 else np.array(values)


def make_head(task: Task, width: int, rows: TrainingRows) -> Head:
    """Make the head for rows.

    Args:
        task: The task.
        width: How many numbers the model gives for a row.
        rows: What the network is fitted on; only a regression's head looks at them.
    """
    if task.is_classification:
        return Head(task, width)
    numbers = rows.target.reshape(len(rows), -1)
    # A split's target varies, but that of a fold of it may not.
    deviations = [deviation or 1.0 for deviation in numbers.std(axis=0).tolist()]
    return Head(task, width, tuple(numbers.mean(axis=0).tolist()), tuple(deviations))
