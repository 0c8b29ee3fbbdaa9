"""What a family of models must do to be fitted, compared, exported and served."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from components.train_model.heads import Head
from mulgil.artifacts import CalibrationMap
from mulgil.contract import Task
from mulgil.preprocessing import FittedTransform
from mulgil.preprocessing.rows import Tensors

Floats = npt.NDArray[np.float32]

# A sure and wrong answer costs 16 nats, not infinity; as the evaluation counts.
_LEAST_PROBABILITY = float(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class Examples:
    """Rows as a model takes them.

    Attributes:
        numbers: Transformed columns.
        target: The truth as the head writes it.

    Shapes:
        (rows, width), and (rows,) or (rows, head.width).
    """

    numbers: Floats
    target: npt.NDArray[Any]

    def __len__(self) -> int:
        return len(self.target)

    @property
    def width(self) -> int:
        """How many numbers a row has."""
        return int(self.numbers.shape[1])

    @property
    def identity(self) -> list[npt.NDArray[Any]]:
        """What makes them these."""
        return [self.numbers, self.target]

    def take(self, places: npt.NDArray[np.intp]) -> Examples:
        """Return some of the rows."""
        return Examples(self.numbers[places], self.target[places])

    def parts(self, rows: int) -> Iterator[Examples]:
        """Return all rows, at most so many at a time."""
        for start in range(0, len(self), rows):
            yield Examples(self.numbers[start : start + rows], self.target[start : start + rows])

    def first(self, rows: int) -> Examples:
        """Return the first so many rows, or all where there are no more."""
        return Examples(self.numbers[:rows], self.target[:rows])


class AnyExamples(Protocol):
    """Examples in memory or on the disk."""

    def __len__(self) -> int:
        """How many rows there are."""

    @property
    def width(self) -> int:
        """How many numbers a row has."""

    @property
    def identity(self) -> Sequence[Any]:
        """What makes them these."""

    def parts(self, rows: int) -> Iterator[Examples]:
        """Return all rows, at most so many at a time."""

    def first(self, rows: int) -> Examples:
        """Return so many rows, or all where there are no more."""


@dataclass(frozen=True)
class Curve:
    """What the validation rows said.

    Attributes:
        loss: On the training rows by epoch, dropout and penalty included.
        val_loss: The plain loss on the validation rows: log loss, or of a number the mean squared error in
            squares of its standard deviation, or of its quantile the pinball loss in standard deviations. A
            model that is not fitted by epochs has one.
        parameters: Numbers that the model learned which was fitted for it.
    """

    loss: tuple[float, ...]
    val_loss: tuple[float, ...]
    parameters: int = 0

    @property
    def best_epoch(self) -> int:
        """The epoch, from 1, with the least validation loss."""
        return int(np.argmin(self.val_loss)) + 1


class FittedModel(Protocol):
    """A model after its fit."""

    @property
    def parameters(self) -> int:
        """How many numbers it learned."""

    @property
    def fitted_rows(self) -> int | None:
        """How many of the rows it was fitted on; `None` where on all of them."""

    def predict(self, numbers: Floats) -> npt.NDArray[Any]:
        """Compute the head's own numbers: probabilities, or standardised numbers."""

    def calibrated(self, calibration: CalibrationMap) -> FittedModel:
        """Return the model with its probabilities mapped, in the files that it writes too."""

    def write(self, path: Path, transform: FittedTransform, output: str) -> None:
        """Write the files that are served, into the bundle's directory."""

    def ask(self, path: Path, transform: FittedTransform, tensors: Tensors, output: str) -> npt.NDArray[Any]:
        """Ask the files as they were written, on raw columns; which also shows that they load."""


class Learner(Protocol):
    """A family of models."""

    @property
    def is_fitted_by_epochs(self) -> bool:
        """Whether `fit` goes as far as a curve says; else it needs none."""

    def look(self, head: Head, train: AnyExamples, validation: AnyExamples) -> Curve:
        """Fit on the training rows, and see by the validation rows how far the fit should go."""

    def fit(self, head: Head, examples: AnyExamples, curve: Curve) -> FittedModel:
        """Fit for good, as far as the curve says."""


def measure_loss(head: Head, target: npt.NDArray[Any], predicted: npt.NDArray[Any]) -> float:
    """Compute the loss of predictions: what early stopping looks at, and families are compared by.

    It is without penalties, and by the classes' weights where there are any.
    """
    return float(measure_losses(head, target, predicted).mean())


def measure_losses(
    head: Head, target: npt.NDArray[Any], predicted: npt.NDArray[Any]
) -> npt.NDArray[np.float64]:
    """Compute each row's loss; of several labels or targets their mean.

    Shapes:
        (rows,).
    """
    if head.task is Task.MULTICLASS_CLASSIFICATION:
        of_truth = predicted[np.arange(len(target)), target]
        losses = -np.log(np.clip(of_truth, _LEAST_PROBABILITY, 1))
    elif head.task.is_classification:
        clipped = np.clip(predicted, _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
        losses = -np.log(np.where(target > 0.5, clipped, 1 - clipped))
    elif head.quantile is not None:
        missing = target - predicted
        losses = np.maximum(head.quantile * missing, (head.quantile - 1) * missing)
    else:
        losses = (predicted - target) ** 2
    weights = head.weigh(target)
    losses = np.asarray(losses if weights is None else losses * weights, np.float64)
    return losses.reshape(len(losses), -1).mean(axis=1)
