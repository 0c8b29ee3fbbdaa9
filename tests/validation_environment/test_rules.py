"""Rules between columns in the gate: what blocks, what warns, and what is told of it."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from pathlib import Path

from components.validate_data.core import validate_data
from mulgil.artifacts import Verdict
from mulgil.contract import load_project
from mulgil.errors import GateRejectedError
from tests.datasets import as_table, heart_rows, write_dataset
from tests.validation_environment.test_validate_data import HEART, flags

IGNORED = """\
  - {name: admitted, role: ignore, type: timestamp, description: d}
  - {name: discharged, role: ignore, type: timestamp, description: d}
  - {name: zip, role: ignore, type: text, description: d}
rules:
"""


def gate(folder: Path, rules: str, **changed: object) -> Verdict:
    """Judge heart rows of which the first of every split has other values."""
    project = folder / "project"
    project.mkdir(parents=True)
    dictionary = (HEART / "data_dictionary.yaml").read_text().rstrip()
    (project / "data_dictionary.yaml").write_text(f"{dictionary}\n{IGNORED}{rules}")
    (project / "project.yaml").write_text((HEART / "project.yaml").read_text())
    at = datetime(2024, 1, 1, tzinfo=UTC)
    rows = [{**row, "admitted": at, "discharged": None, "zip": str(row["sex"])} for row in heart_rows()]
    parts = {"train": rows[:180], "validation": rows[180:240], "test": rows[240:]}
    for part in parts.values():
        part[0] |= changed
    columns = load_project(project).dictionary.ingested
    write_dataset(folder / "dataset", {split: as_table(columns, part) for split, part in parts.items()})
    with contextlib.suppress(GateRejectedError):
        validate_data(**flags(folder, project))
    return Verdict.read(folder / "out" / "verdict.json")


RULES = """\
  - holds: admitted <= discharged
    description: Nobody leaves before arriving.
  - {holds: trestbps < chol, when: sex == "1", on_violation: warn}
  - {each: zip, has_one: sex}
"""


def test_rules_that_hold_are_told_and_columns_that_only_they_read_are_not_judged(tmp_path: Path) -> None:
    verdict = gate(tmp_path, RULES, trestbps=100)
    rules = {c.name: c for c in verdict.checks if c.name.startswith("rule:")}
    assert set(rules) >= {"rule:admitted <= discharged", "rule:each zip has one sex"}
    assert "of all 0 rows" in rules["rule:admitted <= discharged"].reason
    assert rules["rule:each zip has one sex"].reason.startswith("each zip has one sex: so it is of all 2")
    assert not [c.name for c in verdict.checks if "admitted" in c.name and c.name not in rules]
    assert verdict.is_approved, verdict.reasons


def test_a_broken_rule_blocks_or_warns_with_counts_and_rows(tmp_path: Path) -> None:
    early = datetime(2023, 12, 31, tzinfo=UTC)
    verdict = gate(tmp_path, RULES, discharged=early, sex="1", trestbps=190, chol=150, zip="0")
    assert [reason.partition(":")[0] for reason in verdict.reasons] == [
        "admitted <= discharged (Nobody leaves before arriving.)",
        "each zip has one sex",
    ]
    assert verdict.reasons[0].endswith(
        "broken by 3 of 3 rows (train 1, validation 1, test 1), such as patient_id=1 "
        "admitted=2024-01-01T00:00:00+00:00 discharged=2023-12-31T00:00:00+00:00; patient_id=181 "
        "admitted=2024-01-01T00:00:00+00:00 discharged=2023-12-31T00:00:00+00:00; patient_id=241 "
        "admitted=2024-01-01T00:00:00+00:00 discharged=2023-12-31T00:00:00+00:00"
    )
    assert "broken by 1 of 2 values of zip, such as zip=0 with sex=" in verdict.reasons[1]
    (warning,) = [one for one in verdict.warnings if one.startswith("trestbps < chol")]
    assert "patient_id=1 sex=1 trestbps=190 chol=150" in warning
