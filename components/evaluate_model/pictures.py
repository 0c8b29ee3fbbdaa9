"""What pictures show of every model on the test rows, by task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from components.evaluate_model.curves import draw_curves
from components.evaluate_model.metrics import Floats
from mulgil.artifacts import ClassConfusion, NumberFit, ScoreCurves
from mulgil.contract import Task
from mulgil.contract.answers import AnswerForm

# As many dots as a small picture shows well; chosen by eye.
_MOST_POINTS = 400
_BINS = 20


@dataclass(frozen=True)
class Pictures:
    """What is drawn, each by the model's name; of several labels by `model label`.

    Attributes:
        curves: Of a yes and a no.
        confusions: Of classes.
        fits: Of numbers, by the target's name within.
    """

    curves: dict[str, ScoreCurves] = field(default_factory=dict)
    confusions: dict[str, ClassConfusion] = field(default_factory=dict)
    fits: dict[str, dict[str, NumberFit]] = field(default_factory=dict)


def draw_pictures(
    form: AnswerForm, target: npt.NDArray[Any], predicted: Mapping[str, Floats], threshold: float
) -> Pictures:
    """Compute everything that is drawn.

    Args:
        form: What the models answer.
        target: The truth.
        predicted: What each model gave, by its name.
        threshold: From which probability on a yes is called, where there is one answer alone.
    """
    match form.task:
        case Task.BINARY_CLASSIFICATION:
            return Pictures(
                curves={name: draw_curves(target, given, threshold) for name, given in predicted.items()}
            )
        case Task.MULTICLASS_CLASSIFICATION:
            return Pictures(
                confusions={name: _confuse(form.names, target, given) for name, given in predicted.items()}
            )
        case Task.MULTILABEL_CLASSIFICATION:
            return Pictures(
                curves={
                    f"model {label}": draw_curves(target[:, place], predicted["model"][:, place])
                    for place, label in enumerate(form.names)
                }
            )
    names = form.names or (form.output,)
    return Pictures(
        fits={
            model: {
                name: _fit(true, numbers)
                for name, true, numbers in zip(names, _columns(target).T, _columns(given).T, strict=True)
            }
            for model, given in predicted.items()
        }
    )


def _columns(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return values.reshape(len(values), -1)


def _confuse(labels: tuple[str, ...], target: npt.NDArray[Any], probabilities: Floats) -> ClassConfusion:
    counts = np.zeros((len(labels), len(labels)), dtype=int)
    np.add.at(counts, (target, probabilities.argmax(axis=1)), 1)
    return ClassConfusion(labels=labels, counts=tuple(tuple(row) for row in counts.tolist()))


def _fit(target: Floats, predicted: Floats) -> NumberFit:
    kept = np.unique(np.linspace(0, len(target) - 1, min(len(target), _MOST_POINTS)).round().astype(int))
    # In the order of the truth, so that the thinned rows are spread over its range.
    kept = np.argsort(target, kind="stable")[kept]
    errors = predicted - target
    counts, edges = np.histogram(errors, bins=_BINS)
    return NumberFit(
        points=tuple((float(predicted[i]), float(target[i])) for i in kept),
        error_edges=tuple(map(float, edges)),
        errors=tuple(map(int, counts)),
    )
