"""The test rows that the model is most wrong about: where labels are wrong, or something is missing."""

from __future__ import annotations

from typing import Any

import numpy as np

from components.evaluate_model.metrics import LEAST_PROBABILITY, Floats
from mulgil.artifacts import WorstRow
from mulgil.contract import ColumnType, DataDictionary, Task
from mulgil.contract.answers import AnswerForm
from mulgil.preprocessing.rows import TrainingRows

# As many as somebody looks through; chosen by eye.
_ROWS = 10
# A photograph would make the page heavy; it is named by its row alone.
_LONGEST_IMAGE = 20_000


def find_worst_rows(
    form: AnswerForm, dictionary: DataDictionary, rows: TrainingRows, predicted: Floats
) -> tuple[WorstRow, ...]:
    """Return the rows of the greatest loss: surprise in nats, or of numbers the error in deviations.

    Args:
        form: What the model answers.
        dictionary: What its columns are; a sensitive one's values are left out.
        rows: The test rows.
        predicted: What the model gave for them.
    """
    losses = _lose(form.task, rows.target, predicted)
    if any(column.sensitive for column in dictionary.targets):
        return ()
    shown = [column for column in dictionary.inputs if not column.sensitive]
    worst = np.argsort(-losses, kind="stable")[:_ROWS]
    found = []
    for place in worst.tolist():
        instance = rows.instance(place)
        for column in shown:
            value = instance[column.name]
            if column.type is ColumnType.IMAGE and len(str(value)) > _LONGEST_IMAGE:
                instance[column.name] = None
        found.append(
            WorstRow(
                row=place,
                instance={column.name: instance[column.name] for column in shown},
                truth=_tell_truth(form, rows.target[place]),
                answer=form.tell(predicted[place].tolist()),
                loss=float(losses[place]),
            )
        )
    return tuple(found)


def _lose(task: Task, target: Any, predicted: Floats) -> Floats:
    if task is Task.MULTICLASS_CLASSIFICATION:
        of_truth = predicted[np.arange(len(target)), target]
        return -np.log(np.clip(of_truth, LEAST_PROBABILITY, 1))
    true, given = (values.reshape(len(values), -1).astype(np.float64) for values in (target, predicted))
    if task.is_classification:
        of_truth = np.where(true > 0.5, given, 1 - given)
        return -np.log(np.clip(of_truth, LEAST_PROBABILITY, 1)).mean(axis=1)
    deviation = true.std(axis=0)
    return (np.abs(given - true) / np.where(deviation > 0, deviation, 1)).mean(axis=1)


def _tell_truth(form: AnswerForm, truth: Any) -> str:
    if form.task is Task.MULTICLASS_CLASSIFICATION:
        return form.names[int(truth)]
    if not form.names:
        return ("yes" if truth else "no") if form.task.is_classification else f"{truth:g}"
    if form.task.is_classification:
        return ", ".join(name for name, one in zip(form.names, truth, strict=True) if one) or "none"
    return ", ".join(f"{name} {one:g}" for name, one in zip(form.names, truth, strict=True))
