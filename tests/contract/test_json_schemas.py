"""The published JSON Schemas say what the contract says."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from mulgil.contract import DICTIONARY_FILE, PROJECT_FILE
from mulgil.contract.json_schema import SCHEMA_FILES, main, render_schema
from mulgil.contract.yaml_source import read_yaml

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = ROOT / "docs" / "schemas"
FILES = {PROJECT_FILE: "project.schema.json", DICTIONARY_FILE: "data_dictionary.schema.json"}


def load(path: Path):
    """Read a project's file as an editor's validator sees it: as JSON, whose keys are all text."""
    return json.loads(json.dumps(read_yaml(path).data))


def validator(file: str) -> Draft202012Validator:
    schema = json.loads((SCHEMAS / FILES[file]).read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


@pytest.mark.parametrize("name", SCHEMA_FILES)
def test_a_published_schema_is_current(name):
    assert (SCHEMAS / name).read_text() == render_schema(SCHEMA_FILES[name]), (
        "run: python -m mulgil.contract.json_schema docs/schemas"
    )


def test_the_program_writes_what_is_published(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["json_schema", str(tmp_path / "schemas")])
    main()
    assert {path.name: path.read_text() for path in (tmp_path / "schemas").iterdir()} == {
        path.name: path.read_text() for path in SCHEMAS.iterdir()
    }


@pytest.mark.parametrize("project", ["heart_disease", "breast_cancer"])
@pytest.mark.parametrize("file", FILES)
def test_a_shipped_project_fits_the_schema_that_it_points_its_editor_to(project, file):
    path = ROOT / "projects" / project / file
    first, _, _ = path.read_text().partition("\n")
    pointed = first.removeprefix("# yaml-language-server: $schema=")
    assert (path.parent / pointed).resolve() == SCHEMAS / FILES[file]
    assert [error.message for error in validator(file).iter_errors(load(path))] == []


@pytest.mark.parametrize(
    ("categories", "is_valid"),
    [
        ({"1": "male"}, True),
        ([0, "a", 2.5, True], True),
        ("male", False),
        ({"1": 1}, False),
        ([["a"]], False),
    ],
)
def test_both_forms_of_categories_are_in_the_schema(categories, is_valid):
    column = {"name": "sex", "type": "category", "description": "Sex.", "categories": categories}
    assert validator(DICTIONARY_FILE).is_valid({"columns": [column]}) is is_valid


@pytest.mark.parametrize(
    ("file", "change"),
    [
        (PROJECT_FILE, lambda data: data.update(tsak="x")),
        (PROJECT_FILE, lambda data: data.pop("problem")),
        (PROJECT_FILE, lambda data: data["source"].update(kind="sql")),
        (PROJECT_FILE, lambda data: data["source"].pop("location")),
        (PROJECT_FILE, lambda data: data["gates"]["floors"].update(rocauc=0.5)),
        (DICTIONARY_FILE, lambda data: data["columns"][0].update(rol="x")),
        (DICTIONARY_FILE, lambda data: data["columns"][0].pop("description")),
        (DICTIONARY_FILE, lambda data: data["columns"][2].update(range=[1])),
        (DICTIONARY_FILE, lambda data: data.update(columns=[])),
    ],
)
def test_a_mistake_that_a_schema_can_tell_is_told_by_it(file, change):
    data = load(ROOT / "projects" / "heart_disease" / file)
    change(data)
    assert not validator(file).is_valid(data)
