"""What is concluded from a column's values alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.ingest_data.dialect import detect_dialect, detect_encoding
from mulgil.drafting.draft import ColumnDraft, ProjectDraft
from mulgil.drafting.images import draft_images, is_image_folder
from mulgil.drafting.names import name_columns, name_project
from mulgil.drafting.ranges import (
    find_doubtful_codes,
    find_far_values,
    find_missing_codes,
    has_impossible_zero,
    propose_range,
)
from mulgil.drafting.text import render_dictionary
from mulgil.errors import InputError


@given(
    st.lists(st.floats(-1e9, 1e9, allow_subnormal=False), min_size=1, max_size=30),
    st.booleans(),
)
def test_a_proposed_range_holds_every_value_and_keeps_their_side_of_zero(values, is_whole):
    values = np.array([round(value) for value in values] if is_whole else values, dtype=float)

    low, high = propose_range(values, is_whole=is_whole)

    assert low <= values.min() <= values.max() <= high
    assert low >= 0 or values.min() < 0
    assert high <= 0 or values.max() > 0
    if is_whole:
        assert low == int(low) and high == int(high)


def test_a_range_has_room_in_round_numbers():
    assert propose_range(np.array([29.0, 77.0]), is_whole=True) == (17, 89)
    assert propose_range(np.array([0.0, 6.2]), is_whole=False) == (0.0, 7.8)


@pytest.mark.parametrize(
    ("values", "codes"),
    [
        ([-999, -999, *range(1, 40)], (-999,)),
        ([-1, -1, *range(-20, 40)], ()),
        # Answers, with codes for refused, not known and not there.
        ([-9] * 30 + [-1] * 20 + [*range(8)] * 25, (-9, -1)),
        ([-7] * 30 + [-8] * 20 + [-9] * 2 + [*range(1, 6)] * 25, (-7, -8, -9)),
        ([-1] * 30 + [*range(40)], (-1,)),
        ([-9, -9, 0.0, 0.2, 0.7, 0.4], (-9,)),
        # Degrees of mornings; what a sensor does not go below.
        ([-9] * 3 + [*range(25)] * 5, ()),
        ([-1] * 3 + [*range(25)] * 5, ()),
        (np.maximum([*range(-20, 20)] * 20, -9), ()),
        ([99_999_999, 99_999_999, *range(40_000, 90_000, 1_000)], (99_999_999,)),
        ([-999, *range(1, 40)], ()),
        ([99, 99, 0, 1, 2, 3, 1, 2], (99,)),
        ([99, 99, *range(60, 110)], ()),
        ([-999] * 30 + [x - 3000 for x in range(0, 6000, 37)], (-999,)),
        ([-99, -99, 9999, 9999, *range(1, 40)], (-99, 9999)),
    ],
)
def test_numbers_that_stand_apart_are_codes_for_missing(values, codes):
    assert set(find_missing_codes(np.array(values, dtype=float))) == set(codes)


def test_what_may_be_a_code_or_a_value_is_asked_about():
    degrees = [*range(25)] * 5

    assert find_doubtful_codes(np.array([-9] * 3 + degrees, dtype=float)) == (-9,)
    assert find_doubtful_codes(np.array([-1] * 3 + [-9] * 2 + degrees, dtype=float)) == (-1, -9)
    assert find_doubtful_codes(np.array([-9] * 3 + [-4] + degrees, dtype=float)) == ()
    assert find_doubtful_codes(np.array([-9] * 3 + [*range(8)] * 5, dtype=float)) == ()


@pytest.mark.parametrize(
    ("values", "is_impossible"),
    [
        ([0, 0, *range(80, 160)], True),
        ([0, 0, *range(1, 160)], False),
        ([0] * 200 + [*range(80, 160)], False),
        ([0, 0, 90, 100, 110], False),
        # Visits to a doctor: few have many, and none is a count, too.
        ([0] * 40 + [1] * 30 + [2] * 20 + [3] * 10 + [*range(4, 30)], False),
    ],
)
def test_a_zero_far_below_all_others_is_impossible(values, is_impossible):
    assert has_impossible_zero(np.array(values, dtype=float)) is is_impossible


def test_a_value_far_from_all_that_is_usual_is_found():
    values = np.array([*range(100), 1e6])
    assert find_far_values(values) == (1e6,)
    assert find_far_values(values[:-1]) == ()


def test_names_are_those_of_the_source_as_far_as_a_dictionary_can_have_them():
    names = name_columns(["Age (years)", "Größe", "이름", "1st", "class", "A", "a", "", "x" * 80])
    assert list(names.values()) == [
        "Age_years", "Grosse", "ILeum", "column_1st", "class_value", "A", "a_2", "column_8", "x" * 58
    ]  # fmt: skip
    assert name_project("My Project!") == "my-project"
    assert name_project("2024") == "model-2024"


@pytest.mark.parametrize(
    ("text", "delimiter", "has_header"),
    [
        ("a,b\n1,2\n", ",", True),
        ("a;b\n1,5;2,5\n", ";", True),
        ("a\tb\n1\t2\n", "\t", True),
        ("a|b\nx, y|2\n", "|", True),
        ("1,2\n3,4\n", ",", False),
        ("63.0,?\n67.0,3.0\n", ",", False),
        ("a\n1\n", ",", True),
        (",a,b\n0,1,2\n1,3,4\n", ",", True),
        ("a b c\n1 2 3\n4 5 6\n", " ", True),
        ("title\nit was good\nbad\nno more\n", ",", True),
    ],
)
def test_a_files_delimiter_and_header_are_told_from_its_lines(text, delimiter, has_header):
    dialect = detect_dialect(text)
    assert (dialect.delimiter, dialect.has_header) == (delimiter, has_header)


def test_a_files_quote_is_told_from_its_lines():
    assert detect_dialect("a,b\n'x, y','z'\n'u, v','w'\n").quote == "'"
    assert detect_dialect('a,b\n"it\'s",2\n').quote == '"'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"])
def test_an_encoding_is_told_from_the_bytes(encoding):
    text = "Straße und Größe, für 5 €. Das heißt: ein Satz über Äpfel, Öl und übrige Wörter.\n" * 20
    found = detect_encoding(text.encode(encoding))
    assert text.encode(encoding).decode(found).lstrip("\ufeff") == text


def test_a_folder_whose_files_are_no_images_is_refused_with_what_to_do(tmp_path):
    for name in ("cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("no image")

    with pytest.raises(InputError, match=r"(?s)No file that was looked at.*convert them to PNG or JPEG"):
        draft_images("pets", {"kind": "image_folder"}, tmp_path, None, "2026-01-01T00:00:00Z")


@pytest.mark.parametrize(
    ("beside", "is_images"),
    [
        ((), True),
        (("LICENSE.txt", "README.md", "photos.tar.gz", "cover.jpg"), True),
        (("labels.csv",), False),
        (("README.md", "rows.CSV.gz"), False),
    ],
)
def test_a_table_beside_folders_of_images_makes_it_no_folder_of_images(tmp_path, beside, is_images):
    (tmp_path / "cat").mkdir()
    for name in ("cat/1.png", *beside):
        (tmp_path / name).write_bytes(b"")

    assert is_image_folder(tmp_path) is is_images


def test_a_folder_of_files_alone_is_no_folder_of_images(tmp_path):
    (tmp_path / "1.png").write_bytes(b"")

    assert not is_image_folder(tmp_path)


def test_folders_that_divide_images_are_not_taken_for_classes(tmp_path):
    for name in ("Train/cat", "Train/dog", "val/cat", "test/dog"):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "1.png").write_bytes(b"")
    (tmp_path / "LICENSE.txt").write_text("free")

    with pytest.raises(InputError, match=r"(?s)Received: Train, test, val.*--from \S+/Train"):
        draft_images("p", {"kind": "image_folder"}, tmp_path, None, "2026-01-01T00:00:00Z")


def test_what_a_column_is_called_cannot_break_the_file():
    odd = 'a"b\\c: #\n- {x}\x85\u2028'
    draft = ProjectDraft(
        "p", "t", {"kind": "csv"}, (ColumnDraft({"name": "x", "source_name": odd}, (f"TODO: {odd}",)),)
    )
    import yaml

    (column,) = yaml.safe_load(render_dictionary(draft))["columns"]
    assert column == {"name": "x", "source_name": odd}
