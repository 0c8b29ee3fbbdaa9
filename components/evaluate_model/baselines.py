"""What the model is held against: no model at all, and the plainest model of the task that there is.

Both are fitted on the rows that the model itself was fitted on, train and validation.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, QuantileRegressor, Ridge
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from components.evaluate_model.metrics import Floats
from mulgil.contract import MissingPolicy, Task
from mulgil.contract.dictionary import ImageForm
from mulgil.contract.specifications import PreprocessingColumn, PreprocessingSpecification
from mulgil.images import decode_image
from mulgil.preprocessing import MISSING_CODE
from mulgil.preprocessing.rows import TrainingRows
from mulgil.quantile_regression import choose_rows

_STRATEGIES = {
    MissingPolicy.MEAN: "mean",
    MissingPolicy.MEDIAN: "median",
    MissingPolicy.MOST_FREQUENT: "most_frequent",
    MissingPolicy.CONSTANT: "constant",
}


def predict_prior(
    task: Task, fitted: TrainingRows, test: TrainingRows, quantile: float | None = None
) -> Floats:
    """Give every test row the share of each answer among the fitted rows, or the mean of a number.

    Args:
        task: The task.
        fitted: The rows that the model was fitted on.
        test: The rows to predict.
        quantile: Of a number that is not to be its mean.
    """
    if task is Task.MULTICLASS_CLASSIFICATION:
        shares = np.bincount(fitted.target) / len(fitted)
        return np.tile(shares, (len(test), 1))
    constant = (
        fitted.target.mean(axis=0) if quantile is None else np.quantile(fitted.target, quantile, axis=0)
    )
    return np.full(len(test), constant) if constant.ndim == 0 else np.tile(constant, (len(test), 1))


def predict_linear_model(
    task: Task,
    specification: PreprocessingSpecification,
    fitted: TrainingRows,
    test: TrainingRows,
    quantile: float | None = None,
) -> tuple[Floats, int]:
    """Fit scikit-learn's logistic, ridge or quantile regression on raw columns, and predict the test rows.

    Columns are filled as the dictionary says, standardised or one-hot encoded, and the regression has
    scikit-learn's own defaults: a pipeline that shares no code with the one it is compared with. A quantile's
    is without a penalty, as scikit-learn's own would be one on the target's unit, and of a part of very many
    rows, because it is a linear program.

    Args:
        task: The task.
        specification: How the dictionary says that columns are filled.
        fitted: The rows that the model was fitted on.
        test: The rows to predict.
        quantile: Of a number that is not to be its mean.

    Returns:
        The predictions, and how many of the rows it was fitted on.
    """
    steps = [(c.name, _encode(c), [c.name]) for c in specification.columns]
    # The default 100 steps of the solver are too few for some tables.
    model: Any = LogisticRegression(max_iter=1000) if task.is_classification else Ridge()
    if quantile is not None:
        model = QuantileRegressor(quantile=quantile, alpha=0)
        model = model if fitted.target.ndim == 1 else MultiOutputRegressor(model)
    if task is Task.MULTILABEL_CLASSIFICATION:
        model = OneVsRestClassifier(model)
    encoder = ColumnTransformer(steps)
    numbers, target = encoder.fit_transform(pd.DataFrame(fitted.tensors)), fitted.target
    if quantile is not None:
        chosen = choose_rows(*numbers.shape)
        numbers, target = numbers[chosen], target[chosen]
    model.fit(numbers, target)
    unseen = encoder.transform(pd.DataFrame(test.tensors))
    predicted: Floats = model.predict_proba(unseen) if task.is_classification else model.predict(unseen)
    return predicted[:, 1] if task is Task.BINARY_CLASSIFICATION else predicted, len(target)


def _encode(column: PreprocessingColumn) -> Pipeline:
    if column.image is not None:
        return _encode_image(column.image)
    return _encode_codes(column) if column.is_categorical else _encode_number(column)


def _encode_image(form: ImageForm) -> Pipeline:
    """Every pixel is a number; the images of a column are of any size, and are read as a model reads them."""

    def read(images: pd.DataFrame) -> npt.NDArray[np.float32]:
        return np.stack([decode_image(image, form) for image in images.iloc[:, 0]])

    return make_pipeline(FunctionTransformer(read), StandardScaler())


def _encode_number(column: PreprocessingColumn) -> Pipeline:
    return make_pipeline(
        SimpleImputer(strategy=_STRATEGIES.get(column.missing, "mean"), fill_value=column.constant),
        StandardScaler(),
    )


def _encode_codes(column: PreprocessingColumn) -> Pipeline:
    encoder = OneHotEncoder(handle_unknown="ignore")
    if column.missing is MissingPolicy.NEW_CATEGORY:
        # The code for missing is a category like any other.
        return make_pipeline(encoder)
    imputer = SimpleImputer(
        missing_values=MISSING_CODE,
        strategy=_STRATEGIES.get(column.missing, "most_frequent"),
        fill_value=column.constant,
    )
    return make_pipeline(imputer, encoder)
