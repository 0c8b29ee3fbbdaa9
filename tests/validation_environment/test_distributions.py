"""How the columns are spread, as the report shows it."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest

from components.validate_data.distributions import summarise_distributions
from components.validate_data.divergence import judge_divergence
from mulgil.artifacts import DistributionSummary
from mulgil.contract import DataDictionary, load_project
from mulgil.divergence import measure_divergence
from mulgil.home import SOURCE_ROOT
from tests.datasets import heart_rows, split_rows

DICTIONARY = load_project(SOURCE_ROOT / "projects" / "heart_disease").dictionary
SPLITS = split_rows(DICTIONARY, heart_rows())


def sensitive(*names: str) -> DataDictionary:
    columns = [column.model_copy(update={"sensitive": column.name in names}) for column in DICTIONARY.columns]
    return DataDictionary(columns=tuple(columns))


@pytest.fixture(scope="module")
def summary() -> DistributionSummary:
    return summarise_distributions(DICTIONARY, SPLITS)


def test_every_row_of_every_column_is_counted_once(summary: DistributionSummary) -> None:
    kept = {column.name for column in DICTIONARY.kept} - {"patient_id", "collected_at"}
    assert summary.columns.keys() == kept
    for name, column in summary.columns.items():
        for split, table in SPLITS.items():
            counted = sum(sum(counts) for counts in column.rows[split].values())
            assert counted + column.missing[split] == table.num_rows, (name, split)


def test_a_code_is_counted_under_its_own_name(summary: DistributionSummary) -> None:
    sex, table = summary.columns["sex"], SPLITS["train"]
    rows = list(zip(table["sex"].to_pylist(), table["disease"].to_pylist(), strict=True))
    assert sex.categories == ("0", "1")
    assert sex.rows["train"]["yes"] == (rows.count(("0", True)), rows.count(("1", True)))


def test_whole_numbers_have_edges_between_them(summary: DistributionSummary) -> None:
    assert summary.columns["ca"].edges == (-0.5, 0.5, 1.5, 2.5, 3.5)
    assert all((edge + 0.5).is_integer() for edge in summary.columns["chol"].edges)
    assert len(summary.columns["chol"].edges) <= 21


def test_a_sensitive_column_is_left_out() -> None:
    columns = summarise_distributions(sensitive("age", "sex"), SPLITS).columns
    assert not {"age", "sex"} & columns.keys()
    assert "chol" in columns


def test_nothing_is_told_apart_by_a_sensitive_target() -> None:
    columns = summarise_distributions(sensitive("disease"), SPLITS).columns
    assert "disease" not in columns
    assert columns["chol"].rows["test"].keys() == {"all"}
    assert sum(columns["chol"].rows["test"]["all"]) == SPLITS["test"].num_rows


def test_a_column_of_the_wrong_type_is_left_out_and_without_a_target_all_are() -> None:
    text = pa.chunked_array([["many"] * SPLITS["test"].num_rows])
    wrong = dict(SPLITS)
    wrong["test"] = wrong["test"].set_column(wrong["test"].column_names.index("chol"), "chol", text)
    assert "chol" not in summarise_distributions(DICTIONARY, wrong).columns
    gone = {split: table.drop(["disease"]) for split, table in SPLITS.items()}
    assert summarise_distributions(DICTIONARY, gone).columns == {}


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, 1.7e308, -1.7e308, None])
def test_no_number_however_strange_stops_it(value: float | None) -> None:
    strange = {
        split: table.set_column(
            table.column_names.index("oldpeak"),
            "oldpeak",
            pa.chunked_array([[value, *table["oldpeak"].to_pylist()[1:]]], pa.float64()),
        )
        for split, table in SPLITS.items()
    }
    column = summarise_distributions(DICTIONARY, strange).columns["oldpeak"]
    assert all(map(math.isfinite, column.edges))


def test_a_column_without_any_value_has_no_bins() -> None:
    empty = {
        split: table.set_column(table.column_names.index("ca"), "ca", pa.nulls(table.num_rows, pa.int64()))
        for split, table in SPLITS.items()
    }
    column = summarise_distributions(DICTIONARY, empty).columns["ca"]
    assert (column.edges, column.quartiles) == ((), ())
    assert column.missing["train"] == SPLITS["train"].num_rows


def test_the_cells_behind_a_distance_give_the_distance(summary: DistributionSummary) -> None:
    age = summary.columns["age"]
    numbers = {split: table["age"].to_numpy().astype(float) for split, table in SPLITS.items()}
    for split in ("validation", "test"):
        counts = np.array([age.cells["train"], age.cells[split]])
        p, q = counts[:, counts.sum(axis=0) > 0]
        judged = judge_divergence("age", split, numbers["train"], numbers[split], is_ordered=True, limit=None)
        assert measure_divergence(p, q) == judged.value
        assert sum(age.cells[split]) == len(numbers[split])
    assert len(age.cell_edges) + 1 == len(age.cells["train"])
    assert age.cell_edges[-1] == numbers["train"].max()
