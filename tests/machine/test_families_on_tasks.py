"""Every family of models on every task: fitted, exported, answering and explaining as it was fitted."""

import pytest
from fitted_families import FAMILIES, check_served_as_fitted
from learning_project import write_task_project

from mulgil.contract import Task

CALIBRATIONS = ["isotonic", "platt", "temperature"]


@pytest.fixture(scope="module", params=Task)
def project(request, tmp_path_factory):
    return write_task_project(tmp_path_factory.mktemp("families"), request.param)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_server_answers_and_explains_what_the_fitted_model_does(project, family, tmp_path):
    check_served_as_fitted(project, family, tmp_path / "bundle")


@pytest.mark.parametrize("calibration", CALIBRATIONS)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_server_answers_calibrated_probabilities_as_the_fitted_model_does(
    project, family, calibration, tmp_path
):
    if project.folder.project.task.is_classification:
        check_served_as_fitted(project, family, tmp_path / "bundle", calibration)
