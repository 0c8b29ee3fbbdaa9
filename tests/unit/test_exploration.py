"""What is found of a table whose faults are known, because they were put there."""

import numpy as np
import pyarrow as pa
import pytest

from mulgil.contract.learning import Task
from mulgil.drafting.profile import profile_column
from mulgil.exploration.columns import MOST_ROWS, Explored, thin_out
from mulgil.exploration.findings import count_outliers, explore
from mulgil.exploration.labels import find_doubts
from mulgil.exploration.relations import cramers_v, find_redundant, predictive_power

ROWS = 400
DRAW = np.random.default_rng(0)
X = DRAW.normal(size=ROWS)
NOISE = DRAW.normal(size=ROWS)


def explored(columns, target, *, moment=None, hidden=()):
    cells = {name: pa.chunked_array([pa.array(values)]) for name, values in columns.items()}
    profiles = {name: profile_column(name, column) for name, column in cells.items()}
    kind = profiles[target]
    is_number = bool(len(kind.numbers)) and kind.distinct > 20
    task = Task.SCALAR_REGRESSION if is_number else Task.MULTICLASS_CLASSIFICATION
    return Explored(
        rows=kind.rows,
        looked_at=kind.rows,
        cells=cells,
        profiles=tuple(profiles.values()),
        target=kind,
        moment=profiles.get(moment),
        entity=None,
        task=task,
        hidden=frozenset(hidden),
    )


def profile(values, name="x"):
    return profile_column(name, pa.chunked_array([pa.array(values)]))


def texts(findings):
    return [f"{found.topic}: {found.text}" for found in findings.suggestions]


@pytest.mark.parametrize(
    ("target", "least", "most"),
    [
        (X, 0.95, 1.0),
        (X**2, 0.4, 0.8),
        (X + NOISE, 0.35, 0.6),
        (NOISE, 0.0, 0.02),
        ((X > 0).tolist(), 0.9, 1.0),
        (np.where(X > 0, "a", np.where(X > -1, "b", "c")).tolist(), 0.85, 1.0),
    ],
)
def test_a_columns_power_is_the_share_of_the_target_that_it_explains(target, least, most):
    table = explored({"x": X, "y": target}, "y")

    assert least <= predictive_power(table, table.profiles[0]) <= most


def test_a_value_of_its_own_in_every_row_explains_nothing():
    table = explored({"x": [f"w{i}" for i in range(ROWS)], "y": (X > 0).tolist()}, "y")

    assert predictive_power(table, table.profiles[0]) < 0.02


def test_the_absence_of_a_value_may_tell_of_the_target():
    table = explored({"x": [None if x > 0 else 1.5 for x in X], "y": (X > 0).tolist()}, "y")

    assert predictive_power(table, table.profiles[0]) > 0.9


def test_columns_that_say_the_same_are_paired_and_others_are_not():
    codes = np.where(X > 0, "p", "q").tolist()
    columns = [
        profile(X, "x"),
        profile(np.exp(X), "bent"),
        profile(NOISE, "other"),
        profile(codes, "code"),
        profile([{"p": "yes", "q": "no"}[c] + "!" for c in codes], "same"),
    ]

    assert {(pair.one, pair.other) for pair in find_redundant(columns)} == {("x", "bent"), ("code", "same")}


def test_cramers_v_is_one_for_one_to_one_and_near_nothing_for_chance():
    codes = DRAW.integers(0, 3, ROWS)

    assert cramers_v(codes, 2 - codes) == pytest.approx(1)
    assert cramers_v(codes, DRAW.integers(0, 3, ROWS)) < 0.2
    assert cramers_v(codes, np.full(ROWS, -1)) == 0


def test_values_beyond_the_outer_fences_are_counted():
    assert count_outliers(profile(np.append(X, [1e6, -1e6]))) == 2
    assert count_outliers(profile([0.0] * 90 + [7.0] * 10)) == 0


def test_labels_that_were_turned_round_are_the_ones_that_are_doubted():
    labels = np.where(X > 0, "yes", "no")
    wrong = np.flatnonzero(np.abs(X) > 1)[:8]
    labels[wrong] = np.where(X[wrong] > 0, "no", "yes")
    table = explored({"x": X, "z": NOISE, "y": labels.tolist()}, "y")

    doubts = find_doubts(table, table.others)

    assert doubts is not None
    found = {doubt.row - 1 for doubt in doubts.shown}
    assert found >= set(wrong.tolist()) and doubts.found <= 12
    assert all(doubt.said != doubt.foretold for doubt in doubts.shown)


def test_numbers_that_were_mistyped_are_the_ones_that_are_doubted():
    numbers = 3 * X + 0.1 * NOISE
    numbers[[5, 77]] = [300.0, -250.0]
    table = explored({"x": X, "z": NOISE, "y": numbers}, "y")

    doubts = find_doubts(table, table.others)

    assert doubts is not None
    assert [doubt.row for doubt in doubts.shown] == [6, 78]


def test_where_nothing_tells_of_the_target_no_label_is_doubted():
    table = explored({"x": X, "y": np.where(NOISE > 0, "yes", "no").tolist()}, "y")

    assert find_doubts(table, table.others) is None


def test_a_table_with_every_fault_gets_each_said_in_plain_words():
    days = np.datetime64("2024-01-01") + np.arange(ROWS)
    codes = DRAW.integers(0, 4, ROWS)
    table = explored(
        {
            "customer_id": [f"C{i}" for i in range(ROWS)],
            "at": days.astype("datetime64[us]"),
            "settled": (days + np.where(X > 0, 30, -30)).astype("datetime64[us]"),
            "code": codes,
            "twin": 2 * codes + 0.5,
            "sparse": [x if i % 4 == 0 else None for i, x in enumerate(NOISE)],
            "far": np.append(NOISE[:-1], 1e9),
            "y": ["rare" if i % 40 == 0 else "usual" for i in range(ROWS)],
        },
        "y",
        moment="at",
    )

    found = " | ".join(texts(explore(table)))

    assert "leakage: customer_id is an identifier" in found
    assert f"leakage: settled is a day or more after at in {int((X > 0).sum())} rows" in found
    assert "target: only 10 rows, 2.50%, are rare" in found
    assert "quality: sparse has no value in 75% of the rows" in found
    assert "quality: far has 1 value far from all that is usual" in found
    assert "redundancy: code and twin say nearly the same" in found


def test_rows_that_repeat_others_are_counted_with_those_that_contradict():
    table = explored(
        {
            "a": [1, 1, 2, 2, 3] * 20,
            "b": ["p", "p", "q", "q", "r"] * 20,
            "y": [True, False, True, True, True] * 20,
        },
        "y",
    )

    findings = explore(table)

    assert (findings.repeated, findings.contradicting) == (97, 40)


def test_a_well_behaved_table_has_nothing_to_look_at():
    table = explored(
        {"x": X, "z": DRAW.normal(size=ROWS), "y": np.where(X + NOISE > 0, "yes", "no").tolist()}, "y"
    )

    assert texts(explore(table)) == []


def test_of_a_great_table_rows_are_looked_at_evenly():
    columns = {"x": pa.chunked_array([pa.array(np.arange(3 * MOST_ROWS))])}

    thin = thin_out(columns)["x"].to_numpy()

    assert (len(thin), thin[0], thin[-1]) == (MOST_ROWS, 0, 3 * MOST_ROWS - 1)
    assert set(np.diff(thin)) <= {2, 3, 4}
