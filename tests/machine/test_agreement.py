"""Training and serving agree: every family, task and missing policy, with every way to derive a column."""

import pytest
from agreement_matrix import every_case, write_case_project
from fitted_families import check_served_as_fitted


@pytest.mark.parametrize("case", every_case(), ids=str)
def test_what_is_served_is_what_was_fitted(case, tmp_path):
    project = write_case_project(tmp_path, case)

    check_served_as_fitted(project, case.family, tmp_path / "bundle", is_explained=False)
