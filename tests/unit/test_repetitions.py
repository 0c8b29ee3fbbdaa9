"""Rows that are alike in every column: kept, dropped, or asked about."""

import math
import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from mulgil.drafting.profile import profile_column
from mulgil.drafting.project import Wishes, draft_project
from mulgil.drafting.text import render_project


def draft(frame, *, location="rows.csv", entity=None):
    table = pa.Table.from_pandas(frame, preserve_index=False)
    profiles = [profile_column(name, table[name]) for name in table.column_names]
    wishes = Wishes("y", entity=entity)
    return draft_project("p", {"kind": "csv", "location": location}, profiles, wishes, "2026-01-01T00:00:00Z")


def asked_of(drafted):
    (asked,) = [decision for decision in drafted.decisions if "like an earlier one" in decision]
    return asked


def codes(rows, values, columns):
    """Columns of so many values, each drawn by itself."""
    draw = np.random.default_rng(0)
    return pd.DataFrame({name: draw.integers(0, values, rows).astype(str) for name in columns})


def answers(people):
    """Answers of people to fourteen items, each of which says much of all others."""
    draw = np.random.default_rng(0)
    content = draw.normal(size=(people, 1))
    items = np.digitize(content + draw.normal(0, 0.45, (people, 14)), [-0.8, 0.8])
    frame = pd.DataFrame(items.astype(str), columns=[f"q{place}" for place in range(14)])
    return frame.rename(columns={"q13": "y"})


def test_as_many_alike_rows_as_chance_makes_are_kept():
    drafted = draft(codes(2_000, 4, "abcy"))

    assert drafted.source["repeated_rows"] == "keep"
    found, expected = map(int, re.findall(r"\b\d+\b", asked_of(drafted)))
    assert found == 2_000 - 256
    # Of each of the 256 kinds of rows 7.8 are expected.
    assert expected == pytest.approx(2_000 - 256 * (1 - math.exp(-2_000 / 256)), rel=0.02)


def passengers():
    """The passengers of the Titanic by class, age, sex and whether they survived (Dawson, 1995)."""
    counts = {
        "first": ((0, 5), (0, 1), (118, 57), (4, 140)),
        "second": ((0, 11), (0, 13), (154, 14), (13, 80)),
        "third": ((35, 13), (17, 14), (387, 75), (89, 76)),
    }
    kinds = [("child", "male"), ("child", "female"), ("adult", "male"), ("adult", "female")]
    return pd.DataFrame(
        [
            (place, *kind, ["no", "yes"][survived])
            for place, of_kinds in counts.items()
            for kind, of_kind in zip(kinds, of_kinds, strict=True)
            for survived, people in enumerate(of_kind)
            for _ in range(people)
        ],
        columns=["class", "age", "sex", "y"],
    )


def test_passengers_by_class_age_and_sex_are_kept():
    drafted = draft(passengers())

    assert drafted.source["repeated_rows"] == "keep"
    assert "1296 rows are like an earlier one" in asked_of(drafted)


@pytest.mark.parametrize("times", [2, 3])
def test_a_large_table_written_again_is_not_kept_for_the_rows_that_chance_made_alike(times):
    once = codes(20_000, 20, "abcdey")
    by_chance = int(once.duplicated().sum())
    assert by_chance >= 1

    drafted = draft(pd.concat([once] * times))

    assert "repeated_rows" not in drafted.source
    asked = asked_of(drafted)
    assert f"{20_000 * (times - 1) + by_chance} rows are like an earlier one" in asked
    assert "copies, or others that happen to be alike? Dropped" in asked


@pytest.mark.parametrize(
    "once",
    [
        # Nearly every row of the tables has one like it anyway.
        codes(2_000, 4, "abcdey"),
        codes(1_000, 2, "y").assign(x=np.where(np.arange(1_000) % 2, 0, np.arange(1_000) % 199), z="all"),
    ],
)
def test_a_table_written_five_times_is_not_kept_where_most_rows_are_alike_anyway(once):
    drafted = draft(pd.concat([once] * 5))

    assert "repeated_rows" not in drafted.source


def test_answers_that_go_together_are_asked_about_with_both_numbers_and_not_called_copies():
    frame = answers(400)
    alike = int(frame.duplicated().sum())
    assert alike > 60

    drafted = draft(frame)

    asked = asked_of(drafted)
    assert "repeated_rows" not in drafted.source
    assert f"{alike} rows are like an earlier one in every column, where chance makes about " in asked
    assert "copies, or others" in asked
    assert "dropped as copies" not in asked
    assert f"  # TODO: {asked}\n" in render_project(drafted)


def test_rows_that_a_measurement_tells_apart_are_copies():
    homes = codes(200, 2, "ay").assign(price=np.random.default_rng(1).normal(size=200))

    drafted = draft(pd.concat([homes, homes.head(90)]))

    assert "90 rows are like an earlier one in every column, and dropped as copies" in asked_of(drafted)


def test_rows_in_spans_are_not_kept_however_alike_chance_makes_them():
    drafted = draft(codes(2_000, 4, "abcy"), location="rows/{date}.csv")

    assert "repeated_rows" not in drafted.source
    assert "tell them apart in the source" in asked_of(drafted)
