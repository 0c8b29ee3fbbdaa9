"""What a step reads of a project is what it declares."""

import pytest

from mulgil.contract import Project, load_project
from mulgil.home import SOURCE_ROOT
from mulgil.local.cache.project_inputs import sections_of

PROJECT = SOURCE_ROOT / "projects" / "heart_disease"
COMPONENTS = sorted(path.parent.name for path in (SOURCE_ROOT / "components").glob("*/component.py"))


def test_a_section_that_was_not_asked_for_cannot_be_read():
    project = load_project(PROJECT, {"training"}).project

    assert project.training.hidden_units
    with pytest.raises(AttributeError, match="gates"):
        project.gates  # noqa: B018 - reading it is the test


def test_without_a_choice_every_section_is_there():
    project = load_project(PROJECT).project

    assert {name for name in Project.model_fields if hasattr(project, name)} == set(Project.model_fields)


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_component_declares_sections_that_there_are(component):
    assert sections_of(component) <= Project.model_fields.keys()
