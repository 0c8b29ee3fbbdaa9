"""How a model's numbers are told to those who ask, by the dictionary's names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mulgil.contract.dictionary import DataDictionary
from mulgil.contract.learning import TASK_FORMS, Task

# What a model gives for one row: a number, or one a class, label or target.
Numbers = float | list[float]
# What a client is told of one row.
Answer = float | dict[str, str | float | dict[str, float]]


@dataclass(frozen=True)
class OutputTensor:
    """One output as the V2 protocol names it.

    Attributes:
        name: Of the tensor.
        datatype: FP32, or BYTES for text.
        width: Numbers a row; `None` where a row has one element and the tensor one dimension.
    """

    name: str
    datatype: str
    width: int | None = None


@dataclass(frozen=True)
class AnswerForm:
    """What a model of one task and dictionary answers.

    Attributes:
        task: The task.
        output: Name of the output in the model itself.
        names: The classes, labels or targets, in the order of the model's numbers; empty where it gives one.
    """

    task: Task
    output: str
    names: tuple[str, ...]

    @classmethod
    def of(cls, task: Task, dictionary: DataDictionary) -> AnswerForm:
        """Derive it."""
        form = TASK_FORMS[task]
        names: tuple[str, ...] = ()
        if task is Task.MULTICLASS_CLASSIFICATION:
            names = tuple(dictionary.targets[0].categories or ())
        elif form.has_several_targets:
            names = tuple(column.name for column in dictionary.targets)
        return cls(task, form.output, names)

    @property
    def width(self) -> int:
        """How many numbers the model gives for a row."""
        return len(self.names) or 1

    @property
    def tensors(self) -> tuple[OutputTensor, ...]:
        """The outputs under V2: of classes the most probable and all probabilities, else one a target."""
        if not self.names:
            return (OutputTensor(self.output, "FP32"),)
        if self.task is Task.MULTICLASS_CLASSIFICATION:
            return (OutputTensor("label", "BYTES"), OutputTensor(self.output, "FP32", self.width))
        return tuple(OutputTensor(name, "FP32") for name in self.names)

    def tell(self, numbers: Numbers) -> Answer:
        """Write one row's answer under V1.

        A number as it is; of classes `{"label": …, "probabilities": {…}}`; of several labels or targets the
        number of each by its name.
        """
        if not isinstance(numbers, list):
            return numbers
        by_name = dict(zip(self.names, numbers, strict=True))
        if self.task is not Task.MULTICLASS_CLASSIFICATION:
            return dict(by_name)
        return {"label": self.label(numbers), "probabilities": by_name}

    def label(self, numbers: Sequence[float]) -> str:
        """Return the most probable class; of equally probable ones the dictionary's first."""
        return self.names[max(range(len(numbers)), key=numbers.__getitem__)]

    def columns(self, rows: Sequence[Numbers]) -> dict[str, list[float] | list[str]]:
        """Write many rows' answers as V2's tensors, each flat, by name."""
        if not self.names:
            return {self.output: [row[0] if isinstance(row, list) else row for row in rows]}
        vectors = [row if isinstance(row, list) else [row] for row in rows]
        if self.task is Task.MULTICLASS_CLASSIFICATION:
            flat = [number for vector in vectors for number in vector]
            return {"label": [self.label(vector) for vector in vectors], self.output: flat}
        return {name: [vector[place] for vector in vectors] for place, name in enumerate(self.names)}


def differ(one: object, other: object, tolerance: float) -> bool:
    """Return whether two answers' numbers differ by more than the tolerance, of great numbers its share.

    Names must be alike; a label may differ where two classes are equally probable within the tolerance.
    """
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() != other.keys() or any(differ(one[key], other[key], tolerance) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) != len(other) or any(map(differ, one, other, [tolerance] * len(one)))
    if isinstance(one, str) and isinstance(other, str):
        return False
    if not isinstance(one, int | float) or not isinstance(other, int | float):
        return True
    # A NaN differs from everything.
    return not abs(one - other) <= tolerance * max(1.0, abs(other))
