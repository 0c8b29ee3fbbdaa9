"""The gate as a whole: what it approves, what it refuses and in which words, and what it leaves on disk."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from components.validate_data.core import validate_data
from components.validate_data.tfdv import tfdv
from mulgil.artifacts import SPLITS, Verdict, require_approval
from mulgil.contract import load_project
from mulgil.errors import GateRejectedError, InputError
from mulgil.home import SOURCE_ROOT
from tests.datasets import heart_rows, split_rows, write_dataset

HEART = SOURCE_ROOT / "projects" / "heart_disease"
DICTIONARY = load_project(HEART).dictionary

Change = Callable[[pa.Table], pa.Table]


def replace(table: pa.Table, name: str, values: pa.ChunkedArray | pa.Array) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, values)


def flags(folder: Path, project: Path = HEART) -> dict[str, Path]:
    return {
        "project_path": project,
        "dataset_path": folder / "dataset",
        "verdict_path": folder / "out" / "verdict.json",
        "statistics_path": folder / "out" / "statistics",
        "anomalies_path": folder / "out" / "anomalies",
    }


def write_heart(folder: Path, change: Change = lambda table: table) -> str:
    """Write a heart dataset, every split changed alike, and return its fingerprint."""
    splits = split_rows(DICTIONARY, heart_rows())
    changed = {split: change(table) for split, table in splits.items()}
    return write_dataset(folder / "dataset", changed).fingerprint


def reject(folder: Path, change: Change) -> dict[str, str]:
    """Return the reasons of the checks that failed, by name."""
    write_heart(folder, change)
    with pytest.raises(GateRejectedError) as caught:
        validate_data(**flags(folder))
    verdict = Verdict.read(folder / "out" / "verdict.json")
    assert not verdict.is_approved
    for reason in verdict.reasons:
        assert reason in str(caught.value)
    return {check.name: check.reason for check in verdict.checks if not check.is_passed}


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    arguments = [
        word for name, path in flags(folder).items() for word in (f"--{name.replace('_', '-')}", str(path))
    ]
    return subprocess.run(
        [sys.executable, "-m", "components.validate_data", *arguments],
        env={**os.environ, "PYTHONPATH": str(SOURCE_ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_folder_on_the_way_that_looks_like_a_partition_adds_no_column(tmp_path: Path) -> None:
    write_heart(tmp_path / "run=1")
    assert validate_data(**flags(tmp_path / "run=1")).is_approved


def test_the_program_approves_a_dataset_and_leaves_what_tfdv_itself_can_load(tmp_path: Path) -> None:
    fingerprint = write_heart(tmp_path)
    finished = run(tmp_path)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert finished.stdout.startswith("Validated 300 rows (train 180, validation 60, test 60).\nApproved by ")
    require_approval(tmp_path / "out" / "verdict.json", gate="validate_data", subject=fingerprint)

    schema = tfdv.load_schema_text(str(tmp_path / "out" / "statistics" / "schema.pbtxt"))
    for split in SPLITS:
        statistics = tfdv.load_stats_binary(str(tmp_path / "out" / "statistics" / f"{split}.pb"))
        anomalies = tfdv.load_anomalies_text(str(tmp_path / "out" / "anomalies" / f"{split}.pbtxt"))
        assert not anomalies.anomaly_info
        assert tfdv.validate_statistics(statistics, schema) == anomalies
        thal = tfdv.get_feature_stats(statistics.datasets[0], tfdv.FeaturePath(["thal"]))
        assert {bucket.label for bucket in thal.string_stats.rank_histogram.buckets} == {"3", "6", "7"}


def test_the_program_rejects_with_3_after_everything_is_written(tmp_path: Path) -> None:
    fingerprint = write_heart(tmp_path, lambda table: replace(table, "thal", pa.array(["0"] * len(table))))
    finished = run(tmp_path)
    assert finished.returncode == 3
    assert "Rejected by 1 of " in finished.stdout
    reason = "expected one of '3', '6', '7'; received '0' in 300 rows (train 180, validation 60, test 60)"
    assert finished.stderr.splitlines() == [
        f"GateRejectedError: validate_data rejected {fingerprint[:12]}:",
        f"  - thal: {reason}",
    ]
    verdict = Verdict.read(tmp_path / "out" / "verdict.json")
    assert (verdict.gate, verdict.subject, verdict.is_approved) == ("validate_data", fingerprint, False)
    for split in SPLITS:
        assert (tmp_path / "out" / "statistics" / f"{split}.pb").stat().st_size > 0
        anomalies = tfdv.load_anomalies_text(str(tmp_path / "out" / "anomalies" / f"{split}.pbtxt"))
        assert set(anomalies.anomaly_info) == {"thal"}


def test_an_inverted_target_is_refused_by_every_declared_association(tmp_path: Path) -> None:
    reasons = reject(tmp_path, lambda table: replace(table, "disease", pc.invert(table["disease"])))
    declared = {column.name for column in DICTIONARY.columns if column.expects}
    assert set(reasons) == {f"association:{name}" for name in declared}
    assert "over 240 rows" in reasons["association:thalach"]


def test_the_codes_of_another_edition_are_refused_by_column_and_code(tmp_path: Path) -> None:
    """The edition of this table that circulates on Kaggle counts `cp`, `slope` and `thal` from 0."""
    recoded = {
        "cp": {"1": "0", "2": "1", "3": "2", "4": "3"},
        "slope": {"1": "0", "2": "1", "3": "2"},
        "thal": {"3": "2", "6": "1", "7": "3", None: "0"},
    }

    def recode(table: pa.Table) -> pa.Table:
        for name, codes in recoded.items():
            table = replace(table, name, pa.array([codes[code] for code in table[name].to_pylist()]))
        return replace(table, "ca", pc.fill_null(table["ca"], 4))

    reasons = reject(tmp_path, recode)
    assert set(reasons) == {"column:cp", "column:slope", "column:thal", "column:ca"}
    assert "'0' in" in reasons["column:cp"]
    assert all(code in reasons["column:thal"] for code in ("'0' in", "'1' in", "'2' in"))
    assert "expected 0 to 3 vessels; received 4 in" in reasons["column:ca"]


def test_a_copy_of_the_target_is_refused_by_name(tmp_path: Path) -> None:
    reasons = reject(tmp_path, lambda table: replace(table, "fbs", table["disease"]))
    assert list(reasons) == ["leakage:fbs"]


def test_a_column_of_the_wrong_type_is_refused_without_hiding_the_other_mistakes(tmp_path: Path) -> None:
    def break_two(table: pa.Table) -> pa.Table:
        table = replace(table, "disease", pc.cast(table["disease"], pa.int64()))
        return replace(table, "age", pa.array([7] * len(table)))

    reasons = reject(tmp_path, break_two)
    assert set(reasons) == {"column:disease", "column:age"}
    assert "expected boolean; received int64 in train, validation, test" in reasons["column:disease"]


def test_a_split_without_rows_or_with_one_answer_is_refused(tmp_path: Path) -> None:
    splits = split_rows(DICTIONARY, heart_rows())
    splits["validation"] = splits["validation"].slice(0, 0)
    splits["test"] = splits["test"].filter(splits["test"]["disease"])
    write_dataset(tmp_path / "dataset", splits)
    with pytest.raises(GateRejectedError, match=r"validation: expected rows .* received 0 true and 0 false"):
        validate_data(**flags(tmp_path))
    verdict = Verdict.read(tmp_path / "out" / "verdict.json")
    failed = [check.name for check in verdict.checks if not check.is_passed]
    assert failed == ["rows:validation", "rows:test"]


def test_a_declared_limit_on_skew_is_held(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    text = (HEART / "data_dictionary.yaml").read_text()
    (project / "data_dictionary.yaml").write_text(text.replace("unit: mg/dl", "unit: mg/dl\n    skew: 0.1"))
    (project / "project.yaml").write_text((HEART / "project.yaml").read_text())
    splits = split_rows(DICTIONARY, heart_rows())
    splits["test"] = replace(splits["test"], "chol", pc.add(splits["test"]["chol"], 120))
    splits["test"] = replace(splits["test"], "age", pc.add(splits["test"]["age"], 20))
    write_dataset(tmp_path / "dataset", splits)
    with pytest.raises(GateRejectedError, match="chol: the divergence of test from train"):
        validate_data(**flags(tmp_path, project))
    checks = {check.name: check for check in Verdict.read(tmp_path / "out" / "verdict.json").checks}
    assert [name for name, check in checks.items() if not check.is_passed] == ["skew:chol:test"]
    undeclared = checks["skew:age:test"]
    assert undeclared.value is not None
    assert undeclared.value > 0.1


def test_a_column_that_is_to_be_warned_of_is_told_and_rejects_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    text = (HEART / "data_dictionary.yaml").read_text()
    softened = text.replace("unit: mg/dl", "unit: mg/dl\n    skew: 0.1\n    on_violation: warn")
    (project / "data_dictionary.yaml").write_text(softened)
    (project / "project.yaml").write_text((HEART / "project.yaml").read_text())
    splits = split_rows(DICTIONARY, heart_rows())
    splits["test"] = replace(splits["test"], "chol", pc.add(splits["test"]["chol"], 600))
    write_dataset(tmp_path / "dataset", splits)
    verdict = validate_data(**flags(tmp_path, project))
    warned = [check.name for check in verdict.checks if not check.is_passed]
    assert (verdict.is_approved, verdict.reasons) == (True, ())
    assert warned == ["column:chol", "skew:chol:test"]
    assert [warning.partition(":")[0] for warning in verdict.warnings] == ["chol", "chol"]
    assert "  warning: chol: expected 80 to 700 mg/dl; received" in capsys.readouterr().out

    for name, split in splits.items():
        splits[name] = split.drop(["chol"])
    write_dataset(tmp_path / "gone" / "dataset", splits)
    with pytest.raises(GateRejectedError, match="chol"):
        validate_data(**flags(tmp_path / "gone", project))


def test_a_missing_or_unreadable_file_is_the_users_mistake_and_leaves_no_verdict(tmp_path: Path) -> None:
    write_heart(tmp_path)
    parquet = tmp_path / "dataset" / "test.parquet"
    parquet.write_bytes(b"age,sex\n63,1\n")
    with pytest.raises(InputError, match=r"test\.parquet is not a Parquet file"):
        validate_data(**flags(tmp_path))
    parquet.unlink()
    with pytest.raises(InputError, match=r"test\.parquet does not exist"):
        validate_data(**flags(tmp_path))
    assert not (tmp_path / "out").exists()


def test_rows_that_the_manifest_does_not_count_are_the_users_mistake(tmp_path: Path) -> None:
    write_heart(tmp_path)
    other = split_rows(DICTIONARY, heart_rows(100))
    (tmp_path / "other").mkdir()
    write_dataset(tmp_path / "other" / "dataset", other)
    (tmp_path / "other" / "dataset" / "test.parquet").replace(tmp_path / "dataset" / "test.parquet")
    with pytest.raises(InputError, match="not what its manifest says"):
        validate_data(**flags(tmp_path))
