"""scikit-learn's families: fitted on the same encoded rows, served as ONNX behind the same transform."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, QuantileRegressor, Ridge
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputRegressor
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.svm import SVC, SVR
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from components.train_model.calibration import calibrate
from components.train_model.heads import Head
from components.train_model.learners import AnyExamples, Curve, Floats, measure_loss
from mulgil.artifacts import BUNDLE_ONNX, CalibrationMap
from mulgil.contract import Task
from mulgil.contract.learning import QUANTILE_FAMILIES, Family, Training
from mulgil.errors import InputError
from mulgil.onnx_model import OnnxModel
from mulgil.preprocessing import FittedTransform, TransformExecutor
from mulgil.preprocessing.rows import Tensors
from mulgil.quantile_regression import choose_rows


@dataclass(frozen=True)
class Estimators:
    """A family of scikit-learn's.

    Attributes:
        family: Which.
        training: Its hyperparameters and seed.
    """

    family: Family
    training: Training
    is_fitted_by_epochs = False

    def look(self, head: Head, train: AnyExamples, validation: AnyExamples) -> Curve:
        """Measure the loss on both kinds of rows; there are no epochs to choose."""
        fitted = self.fit(head, train, Curve((), ()))
        losses = [
            measure_loss(head, rows.target, fitted.predict(rows.numbers))
            for rows in (examples.first(len(examples)) for examples in (train, validation))
        ]
        return Curve((losses[0],), (losses[1],), fitted.parameters)

    def fit(self, head: Head, examples: AnyExamples, curve: Curve) -> FittedEstimator:
        """Fit once."""
        del curve
        # Where it is one of several that are compared; by itself it is refused with file and line.
        if head.quantile is not None and self.family not in QUANTILE_FAMILIES:
            raise InputError(f"{self.family} is fitted to no quantile")
        rows = examples.first(len(examples))
        if head.quantile is not None and self.family is Family.LINEAR:
            rows = rows.take(choose_rows(len(rows), rows.width))
        fitted_rows = len(rows) if len(rows) < len(examples) else None
        estimator = make_estimator(self.family, head.task, self.training, rows=len(rows))
        target = rows.target.astype(np.int64) if head.task.is_classification else rows.target
        weights = head.weigh(rows.target)
        if weights is None:
            return FittedEstimator(estimator.fit(rows.numbers, target), head, fitted_rows=fitted_rows)
        if self.family is Family.NEAREST_NEIGHBORS:
            # Where it is one of several that are compared; by itself it is refused with file and line.
            raise InputError(f"{self.family} takes no class weights")
        return FittedEstimator(estimator.fit(rows.numbers, target, sample_weight=weights), head)


@dataclass(frozen=True)
class FittedEstimator:
    """A fitted estimator.

    Attributes:
        estimator: It gives the head's own numbers.
        head: What stands at its end.
        calibration: How its probabilities are mapped, where they are.
        fitted_rows: How many of the rows it was fitted on; `None` where on all of them.
    """

    estimator: Any
    head: Head
    calibration: CalibrationMap | None = None
    fitted_rows: int | None = None

    @property
    def parameters(self) -> int:
        """How many numbers it learned."""
        return _count(self.estimator)

    def predict(self, numbers: Floats) -> npt.NDArray[Any]:
        """Compute the head's own numbers."""
        if not self.head.task.is_classification:
            return np.asarray(self.estimator.predict(numbers))
        probabilities = np.asarray(self.estimator.predict_proba(numbers))
        if self.head.task is Task.BINARY_CLASSIFICATION:
            probabilities = probabilities[:, 1]
        if self.calibration is None:
            return probabilities
        return np.asarray(calibrate(self.calibration, probabilities, np))

    def calibrated(self, calibration: CalibrationMap) -> FittedEstimator:
        """Return the estimator with the map behind it."""
        return replace(self, calibration=calibration)

    def write(self, path: Path, transform: FittedTransform, output: str) -> None:
        """Write the ONNX model."""
        # Here and not above: its import takes seconds, and the neural network needs none of it.
        from components.train_model.onnx_export import convert_to_onnx

        content = convert_to_onnx(self.estimator, self.head, transform.width, output, self.calibration)
        (path / BUNDLE_ONNX).write_bytes(content)

    def ask(self, path: Path, transform: FittedTransform, tensors: Tensors, output: str) -> npt.NDArray[Any]:
        """Ask the ONNX model as it was written."""
        del output
        model = OnnxModel(path / BUNDLE_ONNX, self.head.width)
        return model.predict(TransformExecutor(transform).apply(tensors))


def make_estimator(family: Family, task: Task, training: Training, rows: int) -> BaseEstimator:
    """Make an estimator that is not fitted.

    Args:
        family: One of scikit-learn's.
        task: What it is to predict; of several labels or targets, each has an estimator of its own.
        training: The hyperparameters, scikit-learn's defaults where not given, and the seed.
        rows: How many it will be fitted on; there are no more neighbours than that.
    """
    given = {
        name: int(value)
        if float(value).is_integer() and name not in ("C", "gamma", "learning_rate")
        else value
        for name, value in training.hyperparameters.items()
    }
    estimator = _make_one(family, task, given, training, rows)
    if task is Task.MULTILABEL_CLASSIFICATION:
        return OneVsRestClassifier(estimator)
    return MultiOutputRegressor(estimator) if task is Task.VECTOR_REGRESSION else estimator


def _make_one(
    family: Family, task: Task, given: dict[str, Any], training: Training, rows: int
) -> BaseEstimator:
    is_classification, seed, quantile = task.is_classification, training.seed, training.quantile
    match family:
        case Family.LINEAR if is_classification:
            # The default 100 steps of the solver are too few for some tables.
            return LogisticRegression(max_iter=1000, **given)
        case Family.LINEAR:
            # scikit-learn's guide: in other linear models alpha is 1 / (2 C).
            alpha = 1 / (2 * given.get("C", 0.5))
            # Its alpha is held against the mean over the rows, and not against their sum.
            return (
                Ridge(alpha) if quantile is None else QuantileRegressor(quantile=quantile, alpha=alpha / rows)
            )
        case Family.DECISION_TREE:
            kind = DecisionTreeClassifier if is_classification else DecisionTreeRegressor
            # A leaf of one row gives probabilities of 0 and 1, and infinite losses; chosen by eye.
            return kind(**{"min_samples_leaf": 5, "max_depth": 5, "random_state": seed, **given})
        case Family.NEAREST_NEIGHBORS:
            kind = KNeighborsClassifier if is_classification else KNeighborsRegressor
            return kind(n_neighbors=min(given.get("n_neighbors", 15), rows))
        case Family.SUPPORT_VECTOR_MACHINE if is_classification:
            return SVC(probability=True, random_state=seed, **given)
        case Family.SUPPORT_VECTOR_MACHINE:
            return SVR(**given)
        case Family.RANDOM_FOREST:
            kind = RandomForestClassifier if is_classification else RandomForestRegressor
            return kind(**{"n_estimators": 200, "min_samples_leaf": 2, "random_state": seed, **given})
        case Family.GRADIENT_BOOSTING:
            kind = GradientBoostingClassifier if is_classification else GradientBoostingRegressor
            of_loss = {} if quantile is None else {"loss": "quantile", "alpha": quantile}
            return kind(**{"subsample": 0.8, "random_state": seed, **given, **of_loss})
    raise ValueError(f"{family} is no family of scikit-learn's")


def _count(estimator: Any) -> int:
    """Count learned numbers: coefficients, nodes of trees, support vectors, or the rows that are kept."""
    if hasattr(estimator, "estimators_"):
        return sum(_count(one) for one in np.ravel(estimator.estimators_))
    if hasattr(estimator, "tree_"):
        return int(estimator.tree_.node_count)
    if hasattr(estimator, "support_vectors_"):
        return int(estimator.support_vectors_.size + estimator.dual_coef_.size)
    if hasattr(estimator, "coef_"):
        return int(np.size(estimator.coef_) + np.size(estimator.intercept_))
    return int(np.size(estimator._fit_X))
