"""Rules between columns at ingestion and in `mulgil explore`, on columns that only rules read, too."""

import json

import pandas as pd
import pyarrow.parquet as pq
import pytest

from components.ingest_data.core import ingest_data
from components.ingest_data.described import read_described
from mulgil import cli
from mulgil.artifacts import SPLITS, QuarantineSummary
from mulgil.broken_rules import check_table
from mulgil.contract import load_project

PROJECT = """\
name: ward
problem: {goal: g, success_measure: s}
task: binary_classification
source: {kind: csv, location: rows.csv}
split: {kind: group}
"""

DICTIONARY = """\
columns:
  - {name: who, role: entity, type: integer, description: d}
  - {name: at, role: event_timestamp, type: timestamp, description: d}
  - {name: admitted, role: ignore, type: timestamp, time_format: "%d/%m/%Y", description: d}
  - {name: discharged, role: ignore, type: timestamp, time_format: "%d/%m/%Y", description: d}
  - {name: zip, role: ignore, type: text, description: d}
  - {name: city, role: ignore, type: text, sensitive: true, description: d}
  - {name: note, role: ignore, type: text, description: d}
  - {name: dose, type: float, missing: median, description: d}
  - {name: earlier, type: float, aggregate: {function: sum, of: dose, over: 7 days}, missing: constant,
     missing_constant: 0, description: d}
  - {name: more, type: float, derived: dose - earlier, missing: median, description: d}
  - {name: ill, role: target, type: boolean, description: d}
rules:
  - {holds: admitted <= discharged, on_violation: quarantine}
  - {holds: present(city), when: present(zip), on_violation: quarantine}
  - {holds: dose <= 10, when: earlier > 0, on_violation: warn}
  - {each: zip, has_one: city}
"""


@pytest.fixture
def ward(tmp_path):
    rows = pd.DataFrame(
        [
            {
                "who": place % 30,
                "at": f"2024-01-{1 + place // 30:02}T00:00:00Z",
                "admitted": "01/02/2023",
                "discharged": "03/02/2023",
                "zip": f"{place % 7}",
                "city": f"city {place % 7}",
                "note": f"\t{place}",
                "dose": place % 9,
                "ill": (place // 3) % 2,
            }
            for place in range(90)
        ]
    )
    # Earlier as text, later as a date.
    rows.loc[3, "discharged"] = "31/01/2023"
    rows.loc[4, "discharged"] = None
    rows.loc[[5, 6], "city"] = None
    rows.loc[5, "zip"] = None
    rows.loc[7, "admitted"] = "soon"
    rows.loc[70, "city"] = "Atlantis"
    rows.loc[80, "dose"] = 50
    (tmp_path / "project.yaml").write_text(PROJECT)
    (tmp_path / "data_dictionary.yaml").write_text(DICTIONARY)
    rows.to_csv(tmp_path / "rows.csv", index=False)
    return tmp_path


def test_rows_that_break_a_rule_are_set_aside_with_the_reason_and_without_secrets(ward):
    manifest = ingest_data(
        project_path=ward, source="", dataset_path=ward / "data", quarantine_path=ward / "aside"
    )
    found = {
        (reason.column, reason.expected, reason.received, reason.rows)
        for reason in QuarantineSummary.read(ward / "aside" / "summary.json").reasons
    }
    early = "admitted=2023-02-01T00:00:00+00:00 discharged=2023-01-31T00:00:00+00:00"
    assert found == {
        ("admitted and discharged", "admitted <= discharged", early, 1),
        ("city and zip", "present(city) where present(zip)", "zip=6 city=nothing", 1),
        # What a rule reads must be readable.
        ("admitted", "a time such as %d/%m/%Y", "'soon'", 1),
    }
    lines = (ward / "aside" / "rows.jsonl").read_text().splitlines()
    aside = [json.loads(line)["row_number"] for line in lines]
    assert aside == [4, 7, 8]
    assert sum(manifest.rows.values()) == 87
    for split in SPLITS:
        names = pq.read_schema(ward / "data" / f"{split}.parquet").names
        assert {"admitted", "zip", "city"} < set(names)
        assert "note" not in names


def test_a_table_that_is_explored_shows_broken_rules_and_its_entities_past(
    ward, tmp_path_factory, monkeypatch, capsys
):
    folder = load_project(ward)
    columns = read_described(folder, tmp_path_factory.mktemp("scratch")).columns
    found = {one.rule.text: one for one in check_table(folder.dictionary, columns)}
    assert {text: one.broken.total() for text, one in found.items()} == {
        "admitted <= discharged": 1,
        "present(city) where present(zip)": 1,
        "dose <= 10 where earlier > 0": 1,
        "each zip has one city": 1,
    }
    table = pd.read_csv(ward / "rows.csv")
    earlier = table.groupby("who")["dose"].transform(lambda doses: doses.cumsum().shift())
    pd.testing.assert_series_equal(
        pd.Series(columns["earlier"].to_pylist()), earlier, check_names=False, check_dtype=False
    )
    more = pd.Series(columns["more"].to_pylist())
    pd.testing.assert_series_equal(more, table["dose"] - earlier, check_names=False, check_dtype=False)

    monkeypatch.setattr("sys.argv", ["mulgil", "explore", str(ward), "--output", str(ward / "page.html")])
    with pytest.raises(SystemExit):
        cli.main()
    printed = " ".join(capsys.readouterr().out.split())
    page = (ward / "page.html").read_text()
    assert (
        "each zip has one city: broken by 1 of 7 values of zip, such as zip=0 with city=(hidden)" in printed
    )
    assert "dose &lt;= 10 where earlier &gt; 0: broken by 1 of" in page
    assert "Atlantis" not in page and "earlier" in page
