"""A bundle as a callable: checked, loaded, and held against its own example."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from mulgil.artifacts import (
    BUNDLE_BACKGROUND,
    BUNDLE_DECISION,
    BUNDLE_DICTIONARY,
    BUNDLE_EXAMPLE,
    BUNDLE_TRANSFORM,
    Background,
    DecisionRule,
    WarmUpExample,
    read_bundle,
)
from mulgil.contract.answers import AnswerForm, Numbers, differ
from mulgil.contract.dictionary import Column, DataDictionary
from mulgil.contract.learning import Task
from mulgil.errors import InputError, describe
from mulgil.numeric_model import load_numeric_model
from mulgil.preprocessing import FittedTransform, TransformExecutor
from mulgil.serving.column_encoder import ColumnEncoder
from mulgil.serving.contract_check import (
    ContractCheck,
    ContractViolationError,
    Violation,
    refuse_forgotten,
)
from mulgil.serving.explanation import Explainer, Explanation, OutOfTimeError
from mulgil.serving.image_encoder import ImageEncoder
from mulgil.serving.online_store import OnlineStore
from mulgil.serving.row_encoder import RowEncoder
from mulgil.serving.typed_values import InstanceReader

RawColumns = Mapping[str, Sequence[Any] | npt.NDArray[Any]]

# float32 through two compilers of the same graph; what the README promises of served against trained.
TOLERANCE = 1e-5


class NoPredictionError(Exception):
    """The model gives no finite number for an instance.

    Attributes:
        instance: Its place in the request, from 0.
    """

    def __init__(self, instance: int) -> None:
        super().__init__(f"instance {instance}: its values lie where the model gives no finite number")
        self.instance = instance


class ServedModel:
    """A bundle, ready to predict from raw columns.

    Args:
        path: The bundle's directory.

    Attributes:
        dictionary: The bundle's.
        answers: What the model answers.
        store: Features by entity.
        columns: What a request carries, by name.
        features: What the model reads: these, and what is derived of them.
        always_sent: Columns that a request must have, if only as null.
        image: Its image, where it reads one; `None` of a table.
        decision: From which probability on a yes is called; `None` where the project does not say.

    Raises:
        InputError: A file is missing or changed, the parts do not go together, or the bundle's own example
            gives another prediction than the bundle says.
    """

    def __init__(self, path: Path) -> None:
        manifest = read_bundle(path)
        transform = FittedTransform.read(path / BUNDLE_TRANSFORM)
        _refuse_other_clocks(path, transform)
        dictionary = _read_dictionary(path / BUNDLE_DICTIONARY)
        self.dictionary = dictionary
        self.answers = _read_answers(path, manifest.task, dictionary)
        self.store = OnlineStore(manifest.feature_service, dictionary)
        self.columns: dict[str, Column] = {column.name: column for column in dictionary.inputs}
        self.features: dict[str, Column] = {column.name: column for column in dictionary.features}
        self.always_sent = frozenset(column.name for column in dictionary.aggregates)
        self._check = ContractCheck(dictionary)
        self._transform = TransformExecutor(transform)
        # Two, so that requests of one row and of many do not resize each other's.
        self._model, self._model_of_one = (load_numeric_model(path, self.answers.width) for _ in range(2))
        encoded = [column.name for column in transform.columns]
        if encoded != list(self.features) or transform.width != self._model.width:
            raise InputError(
                describe(
                    f"The parts of the bundle {path} do not go together",
                    expected=f"columns={','.join(self.features)} width={self._model.width}",
                    received=f"columns={','.join(encoded)} width={transform.width}",
                    next_step="train again: dictionary, transform and model come from one run",
                )
            )
        # An image is a model's only column.
        self.image = next((column for column in dictionary.features if column.image), None)
        if self.image is not None:
            self._images = ImageEncoder(transform, self.image)
        else:
            self._encoder = RowEncoder(transform, dictionary.features, dictionary.inputs)
            self._instances = InstanceReader(dictionary.inputs)
            self._column_encoder = ColumnEncoder(transform, dictionary.features, dictionary.inputs)
        decision = path / BUNDLE_DECISION
        self.decision = DecisionRule.read(decision) if decision.exists() else None
        self._explainer = self._read_background(path / BUNDLE_BACKGROUND, transform)
        self._warm_up(WarmUpExample.read(path / BUNDLE_EXAMPLE))

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that the model reads, in order."""
        return self._check.names

    @property
    def judged(self) -> tuple[str, ...]:
        """The columns that a request can be refused for: what it carries, and what must be derived of it."""
        derived = (c for c in self.features.values() if c.is_derived_feature)
        return *self.names, *(column.name for column in derived if column.missing.is_value_required)

    def predict(
        self, columns: RawColumns, rows: int, warnings: list[Violation] | None = None
    ) -> list[Numbers]:
        """Check, encode and predict.

        Args:
            columns: Raw values by column, each `rows` long.
            rows: Number of instances, at least one.
            warnings: Gets what is out of range and not refused.

        Returns:
            The model's number of each instance, or its numbers.

        Raises:
            ContractViolationError: Values break the contract.
            NoPredictionError: The model's output is not a finite number.
        """
        return self._infer(self.encode(columns, rows, warnings))

    def encode(
        self, columns: RawColumns, rows: int, warnings: list[Violation] | None = None
    ) -> npt.NDArray[np.float32]:
        """Check and encode, as `predict` does.

        Raises:
            ContractViolationError: Values break the contract.
        """
        if self.image is not None:
            return self._images.encode(columns, rows)
        if self.always_sent:
            refuse_forgotten(columns, self.always_sent, instance=0)
        if any(isinstance(values, np.ndarray) for values in columns.values()):
            encoded = self._column_encoder.encode(columns, rows)
        else:
            encoded = self._encode_typed(columns, rows)
        if encoded is None:
            plain = {
                name: values.tolist() if isinstance(values, np.ndarray) else values
                for name, values in columns.items()
            }
            encoded = self._transform.apply(self._check.check(plain, rows, warnings))
        return encoded

    def _encode_typed(self, columns: RawColumns, rows: int) -> npt.NDArray[np.float32] | None:
        """Encode plain values by type, or return `None` where the contract check is to judge."""
        instances = self._instances.read(columns, rows)
        try:
            # A single row's is used again for the next one.
            return None if instances is None else self._encoder.encode(instances).copy()
        except (KeyError, OverflowError):
            return None

    def explain(
        self, encoded: npt.NDArray[np.float32], seconds: float, most_seconds: float
    ) -> list[Explanation] | None:
        """Explain rows that were encoded.

        Args:
            encoded: The rows.
            seconds: What they may take together where the model is quick enough.
            most_seconds: What they may take at most.

        Returns:
            One explanation a row, of fewer rows where the time is over; `None` where the bundle has no
            background to explain against.

        Raises:
            NoPredictionError: The model's output is not a finite number.
        """
        if self._explainer is None:
            return None
        self._infer(encoded)
        begun, rows = time.monotonic(), len(encoded)
        explanations: list[Explanation] = []
        with suppress(OutOfTimeError):
            for place, row in enumerate(encoded):
                deadline = begun + seconds * (place + 1) / rows
                explanations.append(self._explainer.explain(row, deadline=deadline, end=begun + most_seconds))
        return explanations

    def _read_background(self, path: Path, transform: FittedTransform) -> Explainer | None:
        if not path.exists():
            # Bundles of before had none.
            return None
        rows = Background.read(path).instances
        columns: dict[str, Any] = {name: [row[name] for row in rows] for name in self.columns}
        # Of its own, so that a prediction's is not resized.
        model = load_numeric_model(path.parent, self.answers.width)
        # They are training rows, which nobody checks again here.
        encoded = self._transform.apply(columns)
        return Explainer(model.predict, [column.width for column in transform.columns], encoded)

    def predict_instances(self, instances: Sequence[object]) -> list[Numbers] | None:
        """Encode and predict instances that were checked by type.

        Args:
            instances: At least one, with an attribute a column.

        Returns:
            As of `predict`; `None` where the contract check is to judge after all.

        Raises:
            NoPredictionError: The model's output is not a finite number.
        """
        try:
            encoded = self._encoder.encode(instances)
        except (KeyError, OverflowError):
            return None
        return self._infer(encoded)

    def _infer(self, encoded: npt.NDArray[np.float32]) -> list[Numbers]:
        if len(encoded) == 1:
            answered = self._model_of_one.predict(encoded)
            if answered.ndim == 1 and math.isfinite(number := answered.item()):
                return [number]
        else:
            answered = self._model.predict(encoded)
        predictions: list[Any] = answered.tolist()
        if answered.ndim > 1:
            is_finite: list[bool] = np.isfinite(answered).all(axis=1).tolist()  # type: ignore[assignment]
        else:
            # For a few numbers numpy's call costs more than Python's own.
            is_finite = [*map(math.isfinite, predictions)]
        if not all(is_finite):
            raise NoPredictionError(is_finite.index(False))
        return predictions

    def _warm_up(self, example: WarmUpExample) -> None:
        try:
            [prediction] = self.predict({name: [value] for name, value in example.instance.items()}, 1)
        except (ContractViolationError, NoPredictionError) as exc:
            raise InputError(describe("The bundle's own example is refused", received=str(exc))) from exc
        if differ(prediction, example.prediction, TOLERANCE):
            raise InputError(
                describe(
                    "The bundle's own example gives another prediction here than where it was trained",
                    expected=f"prediction={example.prediction} within {TOLERANCE}",
                    received=f"prediction={prediction}",
                    next_step="train again; where that does not help, the exporter and the server disagree",
                )
            )


def _refuse_other_clocks(path: Path, transform: FittedTransform) -> None:
    """Refuse a transform whose hours and days would be others here than in training."""
    if changed := transform.changed_zones:
        raise InputError(
            describe(
                f"The clocks of {', '.join(changed)} are not those by which the bundle {path} was trained",
                expected=f"tzdata=={transform.zone_database}",
                received=f"tzdata=={version('tzdata')}, which has other rules for them",
                next_step="train again with the newer one, or install the expected one where it is served",
            )
        )


def _read_answers(path: Path, task: str, dictionary: DataDictionary) -> AnswerForm:
    try:
        return AnswerForm.of(Task(task), dictionary)
    except ValueError as exc:
        raise InputError(
            describe(
                f"The bundle {path} is of a task that this server does not know",
                expected=", ".join(Task),
                received=f"task={task}",
            )
        ) from exc


def _read_dictionary(path: Path) -> DataDictionary:
    try:
        return DataDictionary.model_validate_json(path.read_bytes())
    except ValidationError as exc:
        raise InputError(describe(f"{path} is not a data dictionary", received=str(exc))) from exc
