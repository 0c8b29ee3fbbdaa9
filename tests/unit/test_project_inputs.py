"""What of a project and of the code decides a step's outputs, and so which steps follow from a change."""

import shutil

import pytest

from components.train_model import progress
from mulgil.home import SOURCE_ROOT
from mulgil.local.cache.code import fingerprint_code
from mulgil.local.cache.project_inputs import read_project_inputs

COMPONENTS = sorted(file.parent.name for file in (SOURCE_ROOT / "components").glob("*/component.py"))


@pytest.fixture
def project(tmp_path):
    return shutil.copytree(SOURCE_ROOT / "projects" / "breast_cancer", tmp_path / "project")


def edit(file, old, new):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def changed_by(edited, project):
    before = {name: read_project_inputs(name, project, "").values for name in COMPONENTS}
    edited()
    return {name for name in COMPONENTS if read_project_inputs(name, project, "").values != before[name]}


def test_a_dictionary_entry_decides_every_step_that_reads_the_project(project):
    file = project / "data_dictionary.yaml"

    assert changed_by(lambda: edit(file, "range: [0, 50]", "range: [0, 51]"), project) == set(COMPONENTS)
    assert changed_by(lambda: edit(file, "columns:", "# nothing is said\ncolumns:"), project) == set()


@pytest.mark.parametrize(
    ("old", "new", "readers"),
    [
        ("test_ratio: 0.2", "test_ratio: 0.3", {"ingest_data", "train_model"}),
        ("dropout: 0.3", "dropout: 0.4", {"train_model", "register_model"}),
        ("recall: 0.85", "recall: 0.8", {"evaluate_model"}),
        ("A help to a physician", "A great help to a physician", set()),
    ],
)
def test_a_setting_decides_the_steps_that_read_its_section(project, old, new, readers):
    assert changed_by(lambda: edit(project / "project.yaml", old, new), project) == readers


@pytest.mark.parametrize("component", COMPONENTS)
def test_the_code_of_a_component_decides_its_own_step_and_no_other(component):
    cores = {name for name in COMPONENTS if f"components/{name}/core.py" in fingerprint_code(component)}

    assert cores == {component}


def test_a_change_of_any_code_of_a_training_leaves_what_was_left_of_it():
    looked_at = {file for pattern in progress._CODE for file in SOURCE_ROOT.glob(pattern)}

    assert {SOURCE_ROOT / name for name in fingerprint_code("train_model")} <= looked_at
