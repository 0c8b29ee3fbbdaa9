"""Any valid dictionary derives a TFDV schema that accepts its rows, and names a column that is broken."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tensorflow_metadata.proto.v0 import anomalies_pb2

from components.validate_data.judgement import judge_dataset
from components.validate_data.schema import derive_schema
from components.validate_data.statistics import compute_statistics, find_anomalies
from mulgil.artifacts import SPLITS, Check
from mulgil.contract import Column, ColumnType, DataDictionary, MissingPolicy
from mulgil.contract.specifications import specify_validation
from tests.datasets import as_table
from tests.strategies import Row, dictionaries, rows, values_outside

# A call of TFDV takes about 20 ms, and the first one far more.
few = settings(max_examples=60, deadline=None)


def find(dictionary: DataDictionary, table: pa.Table) -> anomalies_pb2.Anomalies:
    keys = {dictionary.entity.name, dictionary.event_timestamp.name}
    statistics = compute_statistics(
        table.select([name for name in table.column_names if name not in keys]).to_batches()
    )
    return find_anomalies(statistics, derive_schema(specify_validation(dictionary)))


def judge(dictionary: DataDictionary, table: pa.Table) -> list[Check]:
    """The checks of single columns, with the table as every split."""
    found = find(dictionary, table)
    checks = judge_dataset(dictionary, dict.fromkeys(SPLITS, table), dict.fromkeys(SPLITS, found))
    return [check for check in checks if check.name.startswith("column:")]


def pick(data: st.DataObject, dictionary: DataDictionary, is_wanted: Callable[[Column], bool]) -> Column:
    columns = [column for column in dictionary.features if is_wanted(column)]
    assume(columns)
    return data.draw(st.sampled_from(columns))


def break_one_row(data: st.DataObject, table_rows: list[Row], name: str, value: object) -> None:
    data.draw(st.sampled_from(table_rows))[name] = value


def assert_only_this_column_is_refused(dictionary: DataDictionary, table: pa.Table, name: str) -> None:
    assert set(find(dictionary, table).anomaly_info) == {name}
    failed = [check for check in judge(dictionary, table) if not check.is_passed]
    assert [check.name for check in failed] == [f"column:{name}"]
    assert failed[0].reason.startswith(f"{name}: expected ")


@few
@given(st.data())
def test_rows_of_any_dictionary_are_accepted(data: st.DataObject) -> None:
    dictionary = data.draw(dictionaries())
    table = as_table(dictionary.kept, data.draw(rows(dictionary)))
    assert not find(dictionary, table).anomaly_info
    assert [check.reason for check in judge(dictionary, table) if not check.is_passed] == []


@few
@given(st.data())
def test_one_value_outside_its_domain_is_refused_by_name(data: st.DataObject) -> None:
    dictionary = data.draw(dictionaries())
    column = pick(data, dictionary, lambda column: bool(column.range or column.categories))
    table_rows = data.draw(rows(dictionary))
    value = data.draw(values_outside(column))
    break_one_row(data, table_rows, column.name, value)
    table = as_table(dictionary.kept, table_rows)
    assert_only_this_column_is_refused(dictionary, table, column.name)
    reason = next(check.reason for check in judge(dictionary, table) if not check.is_passed)
    shown = "(hidden)" if column.sensitive else repr(value)
    assert f"; received {shown} in 3 rows (train 1, validation 1, test 1)" in reason


@few
@given(st.data())
def test_one_missing_value_is_refused_by_name_where_every_row_needs_one(data: st.DataObject) -> None:
    dictionary = data.draw(dictionaries())
    column = pick(data, dictionary, lambda column: column.missing is MissingPolicy.REJECT)
    table_rows = data.draw(rows(dictionary))
    break_one_row(data, table_rows, column.name, None)
    assert_only_this_column_is_refused(dictionary, as_table(dictionary.kept, table_rows), column.name)


@few
@given(st.data())
def test_a_column_of_another_type_is_refused_by_name(data: st.DataObject) -> None:
    dictionary = data.draw(dictionaries())
    column = data.draw(st.sampled_from(dictionary.features))
    table = as_table(dictionary.kept, data.draw(rows(dictionary)))
    others = [pa.array([value] * table.num_rows) for value in ("1", 1, 1.5)]
    own = {ColumnType.CATEGORY: 0, ColumnType.INTEGER: 1, ColumnType.FLOAT: 2}
    # A boolean goes into TFDV as 0 and 1, so that only the file's own type tells it from an integer.
    others.pop(own.get(column.type, 1))
    broken = table.set_column(
        table.column_names.index(column.name), column.name, data.draw(st.sampled_from(others))
    )
    assert_only_this_column_is_refused(dictionary, broken, column.name)


@few
@given(st.data())
def test_a_column_that_is_not_there_is_refused_by_name(data: st.DataObject) -> None:
    dictionary = data.draw(dictionaries())
    column = data.draw(st.sampled_from(dictionary.kept))
    table = as_table(dictionary.kept, data.draw(rows(dictionary))).drop([column.name])
    failed = [check for check in judge(dictionary, table) if not check.is_passed]
    assert [check.name for check in failed] == [f"column:{column.name}"]
    assert "missing in train, validation, test" in failed[0].reason


@few
@given(st.data())
def test_a_column_that_the_dictionary_does_not_have_is_refused_by_name(data: st.DataObject) -> None:
    dictionary = data.draw(dictionaries())
    table = as_table(dictionary.kept, data.draw(rows(dictionary)))
    broken = table.append_column("new_column", pa.array([1] * table.num_rows))
    assert_only_this_column_is_refused(dictionary, broken, "new_column")
    # A type that TFDV does not take.
    broken = table.append_column("new_column", pa.array([[True]] * table.num_rows))
    assert [check.name for check in judge(dictionary, broken) if not check.is_passed] == ["column:new_column"]


@pytest.mark.parametrize(
    ("bounds", "least", "greatest"),
    [((-3, 3), -3, 3), ((-0.5, 3.5), 0, 3), ((0, 1e20), 0, 2**63 - 1), ((-1e20, 0), -(2**63), 0)],
)
def test_an_integers_bounds_are_the_whole_numbers_within(
    bounds: tuple[float, float], least: int, greatest: int
) -> None:
    column = Column(name="beds", type=ColumnType.INTEGER, range=bounds, description="How many.")
    schema = derive_schema(specify_validation(DataDictionary(columns=(column, *_KEYS))))
    assert (schema.feature[0].int_domain.min, schema.feature[0].int_domain.max) == (least, greatest)


def test_one_wrong_row_among_thousands_of_codes_is_refused() -> None:
    """TFDV keeps a sketch of more than 1,024 codes, in which a rare one can be lost."""
    column = Column(
        name="place",
        type=ColumnType.CATEGORY,
        categories={str(code): "" for code in range(3000)},
        description="Where.",
    )
    dictionary = DataDictionary(columns=(column, *_KEYS))
    codes = ["elsewhere", *(str(code) for code in range(3000) for _ in range(3))]
    table = as_table(
        dictionary.kept,
        [{"place": code, "who": i, "then": 0, "answer": i % 2 == 0} for i, code in enumerate(codes)],
    )
    failed = [check for check in judge(dictionary, table) if not check.is_passed]
    assert [(check.name, check.value) for check in failed] == [("column:place", 3)]
    assert "'elsewhere' in 3 rows (train 1, validation 1, test 1)" in failed[0].reason


@pytest.mark.parametrize(
    ("value", "words"),
    [(float("nan"), "nan in 3 rows"), (float("inf"), "inf in 3 rows"), (1e300, "TFDV: ")],
)
def test_a_number_that_is_none_or_too_great_is_refused(value: float, words: str) -> None:
    column = Column(name="weight", type=ColumnType.FLOAT, description="How heavy.")
    dictionary = DataDictionary(columns=(column, *_KEYS))
    table = as_table(dictionary.kept, [{"weight": value, "who": 1, "then": 0, "answer": True}])
    failed = [check for check in judge(dictionary, table) if not check.is_passed]
    assert [check.name for check in failed] == ["column:weight"]
    assert failed[0].reason.startswith("weight: expected a finite number")
    assert words in failed[0].reason


def _key(name: str, role: str, kind: str) -> Column:
    return Column.model_validate({"name": name, "role": role, "type": kind, "description": "A key."})


_KEYS = (
    _key("who", "entity", "integer"),
    _key("then", "event_timestamp", "timestamp"),
    _key("answer", "target", "boolean"),
)
