"""scikit-learn's copy of the UCI Wine table: real, and needs no network."""

import pandas as pd
from sklearn.datasets import load_wine


def load() -> pd.DataFrame:
    """Return 178 rows: 13 measurements of a wine, and `target`, the grower that it is from."""
    return load_wine(as_frame=True).frame
