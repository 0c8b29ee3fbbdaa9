"""What breaks a rule, found in batches, is what pandas finds in the whole table."""

import operator
from datetime import UTC, datetime, timedelta

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mulgil.broken_rules import check_rule
from mulgil.contract import DataDictionary
from mulgil.contract.rules import Rule

COLUMNS = [
    {"name": "who", "role": "entity", "type": "integer", "description": "d"},
    {"name": "seen", "role": "event_timestamp", "type": "timestamp", "description": "d"},
    {"name": "a", "type": "integer", "missing": "median", "description": "d"},
    {"name": "b", "type": "float", "missing": "median", "description": "d"},
    {"name": "since", "role": "ignore", "type": "timestamp", "description": "d"},
    {"name": "zip", "role": "ignore", "type": "text", "description": "d"},
    {"name": "city", "role": "ignore", "type": "text", "sensitive": True, "description": "d"},
    {"name": "ill", "role": "target", "type": "boolean", "description": "d"},
]
SCHEMA = pa.schema(
    [
        ("who", pa.int64()),
        ("seen", pa.timestamp("us", "UTC")),
        ("a", pa.int64()),
        ("b", pa.float64()),
        ("since", pa.timestamp("us", "UTC")),
        ("zip", pa.string()),
        ("city", pa.string()),
        ("ill", pa.bool_()),
    ]
)
START = datetime(2024, 1, 1, tzinfo=UTC)
NOT_FLOAT32 = 2**24
MOMENTS = st.integers(0, 3).map(lambda steps: START + steps * timedelta(microseconds=1))
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "who": st.integers(0, 9),
            "seen": MOMENTS,
            "a": st.none() | st.sampled_from([0, 1, NOT_FLOAT32, NOT_FLOAT32 + 1]),
            "b": st.none() | st.sampled_from([-0.0, 0.0, 1.0, float(NOT_FLOAT32), NOT_FLOAT32 + 1.0]),
            "since": st.none() | MOMENTS,
            "zip": st.none() | st.sampled_from(["1", "2", "x", "é"]),
            "city": st.none() | st.sampled_from(["1", "here", "there"]),
            "ill": st.booleans(),
        }
    ),
    max_size=30,
)
SIGNS = {"<=": operator.le, "<": operator.lt, "==": operator.eq, ">=": operator.ge, ">": operator.gt}


def dictionary(*rules: dict) -> DataDictionary:
    return DataDictionary.model_validate({"columns": COLUMNS, "rules": rules})


def check(rows: list[dict], step: int, **rule: str):
    batches = pa.Table.from_pylist(rows, SCHEMA).to_batches(max_chunksize=step)

    def read(names):
        for place, batch in enumerate(batches):
            chosen = [name for name in batch.schema.names if name in names]
            yield ("one", "other")[place % 2], batch.select(chosen)

    return check_rule(Rule(**rule), dictionary(rule), read)


def frame(rows: list[dict]) -> pd.DataFrame:
    return pa.Table.from_pylist(rows, SCHEMA).to_pandas(types_mapper=pd.ArrowDtype)


@given(rows=ROWS, step=st.integers(1, 7), sign=st.sampled_from(list(SIGNS)))
def test_an_order_of_two_columns_is_broken_where_pandas_says_so(rows, step, sign):
    table = frame(rows)
    for left, right in (("a", "b"), ("since", "seen")):
        found = check(rows, step, holds=f"{left} {sign} {right}")
        both = table.dropna(subset=[left, right])
        kept = SIGNS[sign](both[left], both[right])
        assert (found.asked, found.broken.total()) == (len(both), int((~kept.astype(bool)).sum()))


@given(rows=ROWS, step=st.integers(1, 7))
def test_an_implication_is_broken_where_pandas_says_so(rows, step):
    table = frame(rows)
    found = check(rows, step, when='zip == "1"', holds='city == "here" or city == "there"')
    asked = table[(table["zip"] == "1").fillna(False) & table["city"].notna()]
    assert found.asked == len(asked)
    assert found.broken.total() == int((~asked["city"].isin(["here", "there"])).sum())
    found = check(rows, step, when="present(zip)", holds="present(city)")
    asked = table[table["zip"].notna()]
    assert (found.asked, found.broken.total()) == (len(asked), int(asked["city"].isna().sum()))


@given(rows=ROWS, step=st.integers(1, 7))
@pytest.mark.parametrize(("each", "has_one"), [("zip", "city"), ("a", "b"), ("b", "zip"), ("since", "a")])
def test_values_that_go_with_several_are_those_that_pandas_groups(rows, step, each, has_one):
    found = check(rows, step, each=each, has_one=has_one)
    # To numpy's numbers 0.0 and -0.0 are one value, to Arrow's hash they are two.
    table = pa.Table.from_pylist(rows, SCHEMA).to_pandas()
    counts = table.dropna(subset=[each, has_one]).groupby(each)[has_one].nunique()
    assert (found.asked, found.broken.total()) == (len(counts), int((counts > 1).sum()))
    assert len(found.examples) == min(3, found.broken.total())


def test_a_broken_rule_is_told_with_counts_by_part_and_rows_whose_secrets_stay_hidden():
    row = {"who": 1, "seen": START, "a": 2, "b": 1.0, "zip": "9", "city": "Atlantis", "ill": True}
    rows = [row, {**row, "who": 2, "a": 0}, {**row, "who": 3, "city": None, "zip": None}]
    assert str(check(rows, 2, holds="a <= b", description="A part of it.")) == (
        "a <= b (A part of it.): broken by 2 of 3 rows (one 1, other 1), such as who=1 a=2 b=1.0; "
        "who=3 a=2 b=1.0"
    )
    hidden = str(check(rows, 2, holds='city == "here"'))
    assert hidden == 'city == "here": broken by 2 of 2 rows (one 2), such as who=1 city=(hidden); ' + (
        "who=2 city=(hidden)"
    )
    assert str(check(rows, 2, holds="present(city)")).endswith("(other 1), such as who=3 city=nothing")
    several = str(check([*rows, {**row, "city": "Mu"}], 2, each="zip", has_one="city"))
    assert several.startswith("each zip has one city: broken by 1 of 1 values of zip, such as zip=9 with ")
    assert "Atlantis" not in several and "Mu" not in several
    assert str(check(rows, 2, each="who", has_one="a")) == (
        "each who has one a: so it is of all 3 values of who that have what it reads"
    )
