import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mulgil.contract import Column, ColumnRole, ColumnType, DataDictionary
from mulgil.errors import InputError
from mulgil.preprocessing.rows import read_rows

DICTIONARY = DataDictionary(
    columns=(
        Column(name="key", role=ColumnRole.ENTITY, type=ColumnType.INTEGER, description="Who."),
        Column(name="at", role=ColumnRole.EVENT_TIMESTAMP, type=ColumnType.TIMESTAMP, description="When."),
        Column(name="strict", type=ColumnType.INTEGER, description="Any."),
        Column(name="dropped", type=ColumnType.FLOAT, missing="drop_row", description="Any."),
        Column(name="yes", type=ColumnType.BOOLEAN, missing="mean", description="Any."),
        Column(
            name="code",
            type=ColumnType.CATEGORY,
            categories=["a", "b"],
            missing="new_category",
            description="Any.",
        ),
        Column(name="answer", role=ColumnRole.TARGET, type=ColumnType.BOOLEAN, description="Whether."),
    )
)
COLUMNS = {
    "code": ["a", None, "b", "a", "a"],
    "answer": [True, False, True, False, True],
    "strict": [1, 2, 3, 4, 2**53],
    "dropped": [0.1, 0.2, None, float("nan"), 0.5],
    "yes": [True, None, False, True, True],
}


def read(tmp_path, **changes):
    pq.write_table(pa.table({**COLUMNS, **changes}), tmp_path / "train.parquet")
    return read_rows(tmp_path, "train", DICTIONARY)


@pytest.fixture
def kept():
    return {"dropped": [0.1, 0.2, 0.3, 0.4, 0.5]}


def test_rows_without_a_value_that_drops_them_are_left_out(tmp_path):
    changes = {"answer": [True, False, True, True, True], "strict": [1, 2, 3, 4, 5]}
    changes = {name: values + values for name, values in {**COLUMNS, **changes}.items()}

    rows = read(tmp_path, **changes)

    assert (len(rows), rows.left_out) == (6, 4)
    assert rows.target.tolist() == [True, False, True] * 2
    assert rows.features.column_names == ["strict", "dropped", "yes", "code"]


def test_a_folder_on_the_way_that_looks_like_a_partition_adds_nothing(tmp_path, kept):
    folder = tmp_path / "strict=9"
    folder.mkdir()

    assert read(folder, **kept).features["strict"].to_pylist() == COLUMNS["strict"]


def test_missing_values_reach_the_model_as_nan_and_as_no_text(tmp_path, kept):
    tensors = read(tmp_path, **kept).tensors

    assert tensors["yes"].dtype == np.float32
    assert str(tensors["yes"].tolist()) == "[1.0, nan, 0.0, 1.0, 1.0]"
    assert tensors["code"].tolist() == ["a", "", "b", "a", "a"]


def test_an_instance_is_the_row_as_it_was(tmp_path, kept):
    rows = read(tmp_path, **kept)

    assert rows.instance(1) == {"strict": 2, "dropped": 0.2, "yes": None, "code": None}
    assert rows.instance(4)["strict"] == 2**53


def test_joined_rows_follow_each_other(tmp_path, kept):
    rows = read(tmp_path, **kept)

    both = rows.joined(rows)

    assert both.target.tolist() == rows.target.tolist() * 2
    assert both.tensors["code"].tolist() == rows.tensors["code"].tolist() * 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strict": [1, 2, None, 4, 5]}, "strict lacks a value in 1 rows"),
        ({"answer": [True, None, True, False, False]}, "answer lacks a value in 1 rows"),
        ({"answer": [True] * 4 + [False]}, "4 yes and 1 no"),
        ({"code": [1.5, 2.5, 3.5, 4.5, 5.5], "strict": ["a"] * 5}, "Cannot read"),
    ],
)
def test_rows_that_cannot_be_learned_from_are_refused(tmp_path, kept, changes, message):
    with pytest.raises(InputError, match=message):
        read(tmp_path, **{**kept, **changes})


def test_a_column_that_is_not_there_is_named(tmp_path):
    pq.write_table(pa.table({"answer": [True]}), tmp_path / "train.parquet")

    with pytest.raises(InputError, match="no strict, dropped, yes, code"):
        read_rows(tmp_path, "train", DICTIONARY)


@pytest.mark.parametrize("content", [None, b"not Parquet"])
def test_a_file_that_is_not_there_or_no_parquet_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "train.parquet").write_bytes(content)

    with pytest.raises(InputError, match=r"Cannot read .*train\.parquet"):
        read_rows(tmp_path, "train", DICTIONARY)
