"""What the model is held against: no model at all, and the plainest model that there is.

Both are fitted on the rows that the model itself was fitted on, train and validation.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from components.evaluate_model.metrics import Floats
from mulgil.contract import MissingPolicy
from mulgil.contract.specifications import PreprocessingColumn, PreprocessingSpecification
from mulgil.preprocessing import MISSING_CODE
from mulgil.preprocessing.rows import TrainingRows

_STRATEGIES = {
    MissingPolicy.MEAN: "mean",
    MissingPolicy.MEDIAN: "median",
    MissingPolicy.MOST_FREQUENT: "most_frequent",
    MissingPolicy.CONSTANT: "constant",
}


def predict_prior(fitted: TrainingRows, test: TrainingRows) -> Floats:
    """Give every test row the share of yes among the fitted rows."""
    return np.full(len(test), fitted.target.mean())


def predict_logistic_regression(
    specification: PreprocessingSpecification, fitted: TrainingRows, test: TrainingRows
) -> Floats:
    """Fit scikit-learn's logistic regression on raw columns, and predict the test rows.

    Columns are filled as the dictionary says, standardised or one-hot encoded, and the regression has
    scikit-learn's own defaults: a pipeline that shares no code with the one it is compared with.
    """
    steps = [
        (c.name, _encode_codes(c) if c.is_categorical else _encode_number(c), [c.name])
        for c in specification.columns
    ]
    # The default 100 steps of the solver are too few for some tables.
    pipeline = make_pipeline(ColumnTransformer(steps), LogisticRegression(max_iter=1000))
    pipeline.fit(pd.DataFrame(fitted.tensors), fitted.target)
    probabilities: Floats = pipeline.predict_proba(pd.DataFrame(test.tensors))[:, 1]
    return probabilities


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
