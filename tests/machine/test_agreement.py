"""Training and serving agree: every family, task and missing policy, with every way to derive a column.

Every two of calibration, quantile, choice of features, scaling and outliers meet, and each what it goes with.
"""

import pytest
from agreement_matrix import UNSCALED, check_case, every_case


@pytest.mark.filterwarnings(*UNSCALED)
@pytest.mark.parametrize("case", every_case(), ids=str)
def test_what_is_served_is_what_was_fitted(case, tmp_path):
    check_case(case, tmp_path)
