"""A run's report shows some of its training rows: images by class, texts, and where on a map they are."""

import json
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from image_projects import draw
from run_folders import Made

from mulgil.images import encode_png
from mulgil.local.launch import folder_of
from mulgil.reports import sample_rows
from mulgil.reports.writing import write_report

ROWS = 120
WORDS = [f"Whoever comes here for the {number} time is welcome" for number in ("first", "second", "third")]
OF_IMAGES = [{"name": "image", "type": "image", "image": {"height": 10, "width": 10}}]
OF_PLACES = [
    {"name": "words", "type": "category", "categories": WORDS},
    {"name": "colour", "type": "category", "categories": ["red", "blue"]},
    {"name": "latitude", "type": "float", "missing": "mean"},
    {"name": "longitude", "type": "float", "missing": "mean"},
]
SIGNS = {
    "image": "data:image/png",
    "words": "is welcome",
    "latitude": "Map of the rows",
}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MULGIL_HOME", str(tmp_path / "home"))


def project_at(folder, features, sensitive=""):
    columns = [
        {"name": "key", "role": "entity", "type": "integer"},
        {"name": "at", "role": "event_timestamp", "type": "timestamp"},
        *features,
        {"name": "label", "role": "target", "type": "category", "categories": ["across", "down"]},
    ]
    columns = [{**column, "description": "d", "sensitive": column["name"] == sensitive} for column in columns]
    project = {
        "name": "heart-disease",
        "problem": {"goal": "g", "success_measure": "s"},
        "task": "multiclass_classification",
        "source": {"kind": "csv", "location": "rows.csv"},
    }
    folder.mkdir()
    (folder / "project.yaml").write_text(json.dumps(project))
    (folder / "data_dictionary.yaml").write_text(json.dumps({"columns": columns}))
    return folder


def report_of(project, table):
    made = Made(project=project)
    run = made.write()
    if table is not None:
        path = folder_of(made.run_id) / "tasks" / "ingest-data" / "artifacts" / "dataset" / "train.parquet"
        pq.write_table(table, path, row_group_size=50)
    return write_report(run).read_text()


def rows():
    pictures = [draw(number) for number in range(ROWS)]
    return pa.table(
        {
            "image": pa.array([encode_png(picture) for picture, _ in pictures], pa.binary()),
            "words": [WORDS[number % 3] for number in range(ROWS)],
            "colour": ["red", "blue"] * (ROWS // 2),
            "latitude": np.linspace(33.0, 38.5, ROWS),
            "longitude": np.linspace(126.0, 129.5, ROWS),
            "label": [label for _, label in pictures],
        }
    )


def shown_in(page):
    section = re.search(r'<section id="samples">.*?</section>', page, re.DOTALL)
    return section[0] if section else ""


def test_images_are_shown_by_class(tmp_path):
    page = report_of(project_at(tmp_path / "project", OF_IMAGES), rows())
    shown = shown_in(page)

    for label in ("across", "down"):
        assert f'<th scope="row">{label}</th>' in shown
        assert shown.count(f'alt="{label}"') == 8
    assert page.index('id="data"') < page.index('id="samples"')


def test_texts_and_a_map_are_shown_in_the_colours_of_the_classes(tmp_path):
    shown = shown_in(report_of(project_at(tmp_path / "project", OF_PLACES), rows()))

    assert "for the second time is welcome" in shown
    assert ">colour<" not in shown
    assert "Map of the rows" in shown
    legend = re.search(r'<ul class="legend">.*?</ul>', shown)[0]
    assert ">across</li>" in legend and ">down</li>" in legend


@pytest.mark.parametrize("with_both", [0, 1])
def test_a_map_shows_the_rows_that_have_both_coordinates_and_without_any_there_is_none(tmp_path, with_both):
    table, place = rows(), np.arange(ROWS)
    for name, is_missing in (("latitude", place >= ROWS // 2 + with_both), ("longitude", place < ROWS // 2)):
        values = pa.array(table[name].to_numpy(), mask=is_missing)
        table = table.set_column(table.schema.get_field_index(name), name, values)

    shown = shown_in(report_of(project_at(tmp_path / "project", OF_PLACES), table))

    assert "is welcome" in shown
    assert ("Map of the rows" in shown, "1 rows, from" in shown) == (bool(with_both), bool(with_both))


@pytest.mark.parametrize("sensitive", ["image", "words", "latitude"])
def test_of_a_sensitive_column_nothing_is_shown(tmp_path, sensitive):
    features = OF_IMAGES if sensitive == "image" else OF_PLACES
    signs = {name: SIGNS[name] for name in SIGNS if name in {column["name"] for column in features}}
    shown = shown_in(report_of(project_at(tmp_path / "project", features, sensitive), rows()))

    assert {name for name, sign in signs.items() if sign not in shown} == {sensitive}


@pytest.mark.parametrize("features", [OF_IMAGES, OF_PLACES])
def test_a_sensitive_target_divides_nothing(tmp_path, features):
    shown = shown_in(report_of(project_at(tmp_path / "project", features, "label"), rows()))

    assert shown
    assert not any(label in shown for label in ("across", "down"))


def test_of_many_rows_some_are_read_and_of_a_damaged_file_or_none_the_page_comes_without(
    tmp_path, monkeypatch
):
    project = project_at(tmp_path / "project", OF_IMAGES)
    assert shown_in(report_of(project, None)) == ""
    monkeypatch.setenv("MULGIL_HOME", str(tmp_path / "other"))
    assert shown_in(report_of(project, rows().drop_columns(["label"]))) == ""
    monkeypatch.setenv("MULGIL_HOME", str(tmp_path / "third"))
    monkeypatch.setattr(sample_rows, "_MOST_IMAGES", 12)
    seen = []
    explored_table = sample_rows.explored_table
    monkeypatch.setattr(
        sample_rows,
        "explored_table",
        lambda *table: seen.append(table[1]["label"]) or explored_table(*table),
    )

    assert shown_in(report_of(project, rows()))
    assert [len(labels) for labels in seen] == [12]
