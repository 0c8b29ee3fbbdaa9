"""What single columns and targets are drafted as."""

from datetime import date, timedelta

import pyarrow as pa
import pytest

from mulgil.drafting.columns import draft_column
from mulgil.drafting.names import names_a_key
from mulgil.drafting.profile import ColumnProfile, Kind, profile_column
from mulgil.drafting.project import Wishes, draft_project


def profile(name: str, cells: list) -> ColumnProfile:
    return profile_column(name, pa.chunked_array([pa.array(cells)]))


def drafted(name: str, cells: list) -> dict:
    answers = profile("y", [str(place % 2) for place in range(len(cells))])
    return dict(draft_column(name, profile(name, cells), answers, is_csv=True).keys)


def decisions_of(target: list, **columns: list) -> tuple[str, tuple[str, ...]]:
    profiles = [profile("y", target), *(profile(name, cells) for name, cells in columns.items())]
    draft = draft_project("p", {"kind": "csv"}, profiles, Wishes("y"), "2026-01-01T00:00:00Z")
    return draft.task, draft.decisions


@pytest.mark.parametrize(
    ("name", "cells", "is_identifier"),
    [
        ("case", [*range(60)], True),
        ("case", [*range(1, 61)], True),
        ("year", [*range(1940, 2000)], False),
        ("rank of wealth", [*range(2, 61), 1], False),
        ("PassengerId", [*range(892, 952)], True),
    ],
)
def test_what_counts_rows_is_an_identifier_and_years_and_ranks_are_not(name, cells, is_identifier):
    assert (drafted(name, cells).get("role") == "ignore") is is_identifier


@pytest.mark.parametrize(
    ("name", "is_key"),
    [
        *(
            (name, True)
            for name in ("id", "customer_id", "customerID", "PassengerId", "Unnamed: 0", "row.key")
        ),
        *((name, False) for name in ("idle", "ideology", "paid", "Madrid", "monkey", "period", "MID")),
    ],
)
def test_a_key_is_told_by_its_name(name, is_key):
    assert names_a_key(name) is is_key


def test_a_key_that_rows_share_is_no_number():
    few = drafted("store_id", [str(1000 + place % 5) for place in range(100)])
    many = drafted("patient_id", [str(1000 + place % 60) for place in range(240)])

    assert few["type"] == "category"
    assert sorted(few["categories"]) == ["1000", "1001", "1002", "1003", "1004"]
    assert many["role"] == "ignore"
    assert "a key that rows share: 60 different values in 240 rows" in many["description"]


def test_rows_of_one_key_are_asked_about():
    patients = [str(1000 + place % 60) for place in range(240)]
    _, (asked,) = decisions_of([place % 2 for place in range(240)], patient_id=patients, x=[*range(5, 245)])

    assert "rows share patient_id (60 different in 240 rows)" in asked
    assert "--entity patient_id" in asked


@pytest.mark.parametrize(
    ("first", "form"),
    [
        ("03/01/2020 09:30 PM", "%m/%d/%Y %I:%M %p"),
        ("2020년 03월 01일", "%Y년 %m월 %d일"),
        ("20200301", None),
    ],
)
def test_dates_are_read_with_halves_of_days_in_korean_and_in_eight_digits(first, form):
    day = date(2020, 3, 1)
    days = [day + timedelta(days=place) for place in range(60)]
    cells = [first] + [
        f"{each:{form.replace('%I:%M %p', '10:00 AM') if form else '%Y%m%d'}}" for each in days[1:]
    ]

    found = profile("when", cells)

    assert found.kind is Kind.TIME
    assert found.time_format == form


def test_eight_digits_that_are_not_all_dates_are_numbers():
    assert profile("amount", [str(20200301 + 7 * place) for place in range(60)]).kind is Kind.WHOLE


def test_a_word_that_several_rows_have_among_numbers_is_a_code_for_missing():
    numbers = [f"{place}.5" for place in range(100)]
    column = drafted("dose", [*numbers, *["not done"] * 8, *["-"] * 3])

    assert column["type"] == "float"
    assert column["missing_codes"] == ["-", "not done"]
    assert column["missing"] == "median"


@pytest.mark.parametrize(
    "cells",
    [
        # Few numbers, of which a word is the next; as many words as numbers; many different words.
        [*[str(place % 4) for place in range(90)], *["4 or more"] * 10],
        [*[str(place) for place in range(40)], *["none"] * 20, *["some"] * 20],
        [*[str(place) for place in range(80)], *[f"grade {place % 8}" for place in range(16)]],
    ],
)
def test_words_that_are_values_beside_numbers_stay_words(cells):
    assert profile("amount", cells).kind is Kind.TEXT


def test_degrees_that_may_be_codes_stay_values_and_are_asked_about_with_their_rows():
    degrees = [*[-9] * 3, *[*range(25)] * 5]
    target = profile("y", [place % 2 for place in range(len(degrees))])

    column = draft_column("t", profile("t", degrees), target, is_csv=True)

    assert "missing_codes" not in column.keys
    assert column.keys["range"][0] <= -9
    assert any(
        "-9 (3 rows), below 0 as no other of 125 rows is" in remark and "missing_codes: [-9]" in remark
        for remark in column.remarks
    )


def test_answers_that_may_be_categories_are_named_without_their_codes_for_missing():
    answers = [*[-9] * 3, *[-1] * 3, *[*range(8)] * 5]
    target = profile("y", [place % 2 for place in range(len(answers))])

    column = draft_column("q", profile("q", answers), target, is_csv=True)

    assert set(column.keys["missing_codes"]) == {-9, -1}
    assert column.keys["range"][0] == 0
    assert any("categories: [0, 1, 2, 3, 4, 5, 6, 7]" in remark for remark in column.remarks)


def test_what_stands_for_missing_among_numbers_is_a_value_of_another_column():
    size = [*[str(place) for place in range(50)], *["none"] * 10]
    allergy = ["none" if place % 2 else "nuts" for place in range(60)]
    profiles = [profile("y", [place % 2 for place in range(60)]), profile("size", size)]
    profiles.append(profile("allergy", allergy))
    draft = draft_project("p", {"kind": "csv"}, profiles, Wishes("y"), "2026-01-01T00:00:00Z")

    _, size_keys, allergy_keys = (column.keys for column in draft.columns[:3])
    assert "missing_values" not in draft.source
    assert size_keys["missing_codes"] == ["none"]
    assert "none" in allergy_keys.get("categories", ["none"])
    assert any("taken for missing values: none in size" in decision for decision in draft.decisions)


@pytest.mark.parametrize(
    ("target", "task"),
    [
        # Twelve rows of as many counts; counts that thin out; grades; classes in digits.
        ([3, 18, 81, 185, 420, 749, 1073, 1079, 934, 658, 370, 92], "scalar_regression"),
        ([value for value in range(16) for _ in range(40 // (value + 1))], "scalar_regression"),
        ([3 + place % 6 for place in range(120)], "multiclass_classification"),
        ([place % 10 for place in range(200)], "multiclass_classification"),
    ],
)
def test_whole_numbers_are_amounts_or_classes(target, task):
    x = [place * 1.5 for place in range(len(target))]
    assert decisions_of(target, x=x)[0] == task


def test_whole_numbers_that_are_learned_as_classes_are_asked_about():
    _, (asked,) = decisions_of([3 + place % 6 for place in range(120)], x=[n * 1.5 for n in range(120)])

    assert "y is learned as 6 classes" in asked
    assert "--task scalar_regression" in asked
    assert "above 0" not in asked


def test_classes_that_differ_in_case_alone_are_asked_about():
    target = [("Left", "left", "stays", "STAYS")[place % 4] for place in range(120)]
    _, (asked,) = decisions_of(target, x=[n * 1.5 for n in range(120)])

    assert "'Left', 'left'" in asked and "'stays', 'STAYS'" in asked


def test_rows_that_have_a_time_are_asked_about():
    days = [f"2020-01-{1 + place % 28:02}" for place in range(120)]
    _, (asked,) = decisions_of([place % 2 for place in range(120)], day=days, x=[n * 1.5 for n in range(120)])

    assert "`split: {kind: time}`" in asked


def test_text_in_arrows_views_is_text():
    cells = pa.chunked_array([pa.array(["a", "b"] * 20, pa.string_view())])
    assert profile_column("x", cells).kind is Kind.TEXT
