"""A project as one run reads it, and the settings of the command line."""

import pytest
import yaml

from mulgil.contract import load_project
from mulgil.errors import ContractError, InputError
from mulgil.home import SOURCE_ROOT
from mulgil.local.project_snapshot import parse_setting, snapshot_project

PROJECT = SOURCE_ROOT / "projects" / "breast_cancer"


def test_a_setting_replaces_a_value_and_leaves_the_users_file(tmp_path):
    before = (PROJECT / "project.yaml").read_text(encoding="utf-8")

    snapshot = snapshot_project(PROJECT, {"training.max_epochs": 3, "split.seed": 7}, tmp_path)

    read = load_project(snapshot.path)
    assert (read.project.training.max_epochs, read.project.split.seed) == (3, 7)
    assert read.project.training.hidden_units == load_project(PROJECT).project.training.hidden_units
    assert (PROJECT / "project.yaml").read_text(encoding="utf-8") == before


def test_equal_projects_have_equal_snapshots_and_others_do_not(tmp_path):
    plain = snapshot_project(PROJECT, {}, tmp_path)

    assert snapshot_project(PROJECT, {}, tmp_path).path == plain.path
    assert snapshot_project(PROJECT, {"split.seed": 7}, tmp_path).path != plain.path


def test_the_projects_own_source_comes_along(tmp_path):
    assert (snapshot_project(PROJECT, {}, tmp_path).path / "source.py").is_file()


def test_a_relative_location_still_means_the_users_folder(tmp_path):
    project = tmp_path / "mine"
    project.mkdir()
    settings = yaml.safe_load((PROJECT / "project.yaml").read_text(encoding="utf-8"))
    settings["source"] = {"kind": "csv", "location": "rows.csv"}
    (project / "project.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    (project / "data_dictionary.yaml").write_bytes((PROJECT / "data_dictionary.yaml").read_bytes())

    snapshot = snapshot_project(project, {}, tmp_path / "snapshots")

    assert load_project(snapshot.path).project.source.location == str(project / "rows.csv")


def test_a_wrong_setting_is_named_with_the_place_it_leads_to(tmp_path):
    with pytest.raises(
        ContractError, match=r"expected a valid integer.*many.\n.*--set training\.max_epochs=many"
    ):
        snapshot_project(PROJECT, {"training.max_epochs": "many"}, tmp_path)


def test_a_setting_of_an_unknown_key_is_refused(tmp_path):
    with pytest.raises(ContractError, match=r"training.epochs: this key is unknown.*received .epochs"):
        snapshot_project(PROJECT, {"training.epochs": 3}, tmp_path)


def test_a_setting_that_leads_into_a_value_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"name\.first"):
        snapshot_project(PROJECT, {"name.first": 3}, tmp_path)


def test_a_folder_that_is_not_there_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="There is no project folder"):
        snapshot_project(tmp_path / "nowhere", {}, tmp_path)


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ("training.max_epochs=5", ("training.max_epochs", 5)),
        ("training.hidden_units=[8, 4]", ("training.hidden_units", [8, 4])),
        ("problem.goal=a = b", ("problem.goal", "a = b")),
    ],
)
def test_a_settings_value_is_yaml(text, setting):
    assert parse_setting(text) == setting


@pytest.mark.parametrize("text", ["training.max_epochs", "=5", "training..max_epochs=5", "a=[1"])
def test_a_setting_of_another_form_is_refused(text):
    with pytest.raises(InputError):
        parse_setting(text)
