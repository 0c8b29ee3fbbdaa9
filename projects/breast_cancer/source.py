"""scikit-learn's copy of the Breast Cancer Wisconsin (Diagnostic) table: real, and needs no network."""

import pandas as pd
from sklearn.datasets import load_breast_cancer


def load() -> pd.DataFrame:
    """Return 569 rows: 30 measurements of a needle aspirate's cell nuclei, and `target` (0 is malignant)."""
    return load_breast_cancer(as_frame=True).frame
