"""scikit-learn's copy of the diabetes study of Efron and others (2004): real, and needs no network."""

import pandas as pd
from sklearn.datasets import load_diabetes


def load() -> pd.DataFrame:
    """Return 442 rows: ten measurements of a patient, unscaled, and `target`, a year later."""
    return load_diabetes(as_frame=True, scaled=False).frame
