"""The rows of a file that `mulgil predict` sends: JSON, a table written as the project's own, or an image."""

import base64

import numpy as np
import pytest
from image_projects import columns, write_image_project

from mulgil.cli.asked_rows import read_rows
from mulgil.contract import load_project
from mulgil.errors import InputError
from mulgil.home import SOURCE_ROOT
from mulgil.images import encode_png

HEART = load_project(SOURCE_ROOT / "projects" / "heart_disease")
ROW = "63.0,1.0,1.0,145.0,233.0,1.0,2.0,150.0,0.0,2.3,3.0,?,6.0,0"


def test_a_table_is_read_as_the_projects_own_is_and_its_target_is_not_sent(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text(f"{ROW}\n{ROW}\n")
    first, second = read_rows(path, HEART)
    assert first == second
    assert set(first) == {column.name for column in HEART.dictionary.features}
    assert 63 in first.values()
    assert None in first.values(), "a question mark is a missing value"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.csv", ROW.replace("63.0", "old") + "\n", "rows.csv, row 1: .*'old'"),
        ("rows.csv", f"{ROW}\n{ROW},7\n", "Row 2 of .* is no row of the table"),
        ("rows.json", "[1", "is not JSON"),
        ("picture.png", "", "reads none"),
        ("gone.json", None, "Cannot read"),
        ("gone.csv", None, "Cannot read"),
    ],
)
def test_a_file_that_cannot_be_sent_says_why(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message):
        read_rows(tmp_path / name, HEART)


def test_an_image_and_a_table_of_pixels_are_sent_as_files(tmp_path):
    folder = write_image_project(tmp_path, columns(side=6, first_pixel="p0")).folder
    file = encode_png(np.arange(36, dtype=np.uint8).reshape(6, 6))
    (tmp_path / "hand.PNG").write_bytes(file)
    encoded = {"image": {"b64": base64.b64encode(file).decode()}}
    assert read_rows(tmp_path / "hand.PNG", folder) == [encoded]
    header = ",".join(["label", *(f"p{place}" for place in range(36))])
    (tmp_path / "rows.csv").write_text(header + "\ndown," + ",".join(map(str, range(36))) + "\n")
    assert read_rows(tmp_path / "rows.csv", folder) == [encoded]
    (tmp_path / "rows.csv").write_text(header + "\ndown,x," + ",".join(["1"] * 35) + "\n")
    with pytest.raises(InputError, match="row 1: image: expected"):
        read_rows(tmp_path / "rows.csv", folder)
