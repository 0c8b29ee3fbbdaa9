"""The newest span beside those before: what TFDV measures, what chance explains, what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from components.validate_data.core import validate_data
from components.validate_data.tfdv import tfdv
from mulgil.artifacts import (
    DATASET_MANIFEST,
    NEWEST_SPAN,
    DatasetManifest,
    SpanComparison,
    SpanSummary,
    Verdict,
)
from mulgil.contract import load_project
from mulgil.errors import GateRejectedError
from mulgil.home import SOURCE_ROOT
from tests.datasets import heart_rows, split_rows, write_dataset

HEART = SOURCE_ROOT / "projects" / "heart_disease"
DICTIONARY = load_project(HEART).dictionary


def validate(
    folder: Path, change=lambda newest: newest, project: Path = HEART, before=lambda earlier: earlier
) -> Verdict:
    """Validate heart rows whose last third in each split is a span of its own, changed as is said."""
    splits, spans = {}, {"before": {}, "newest": {}}
    for split, table in split_rows(DICTIONARY, heart_rows()).items():
        first = len(table) - len(table) // 3
        splits[split] = pa.concat_tables([before(table.slice(0, first)), change(table.slice(first))])
        spans["before"][split], spans["newest"][split] = first, len(table) - first
    write_dataset(folder / "dataset", splits)
    manifest = folder / "dataset" / DATASET_MANIFEST
    summaries = tuple(
        SpanSummary(
            name=name,
            rows_read=sum(spans[of].values()),
            rows=spans[of],
            rows_quarantined=0,
            rows_deduplicated=0,
        )
        for name, of in (("2026-11-23", "before"), ("2026-11-24", "newest"))
    )
    DatasetManifest.read(manifest).model_copy(update={"spans": summaries}).write(manifest)
    places = {f"{name}_path": folder / "out" / name for name in ("verdict", "statistics", "anomalies")}
    return validate_data(project_path=project, dataset_path=folder / "dataset", **places)


def with_column(table: pa.Table, name: str, values) -> pa.Table:
    place = table.column_names.index(name)
    return table.set_column(place, name, pa.array(values, table.schema.field(name).type))


def older(newest: pa.Table) -> pa.Table:
    return with_column(newest, "age", [min(77, age + 15) for age in newest["age"].to_pylist()])


def without_values(newest: pa.Table) -> pa.Table:
    values = [None if place % 2 else value for place, value in enumerate(newest["thal"].to_pylist())]
    return with_column(newest, "thal", values)


def without_any_value(earlier: pa.Table) -> pa.Table:
    return with_column(earlier, "ca", [None] * len(earlier))


def drift_of(verdict: Verdict, column: str):
    return next(check for check in verdict.checks if check.name == f"drift:{column}")


def test_a_span_like_those_before_is_approved_and_each_columns_distance_is_on_record(tmp_path: Path) -> None:
    verdict = validate(tmp_path)
    comparison = SpanComparison.read(tmp_path / "out" / "statistics" / NEWEST_SPAN)
    anomalies = tfdv.load_anomalies_text(str(tmp_path / "out" / "anomalies" / "newest_span.pbtxt"))
    statistics = tfdv.load_stats_binary(str(tmp_path / "out" / "statistics" / "newest_span.pb"))

    assert (comparison.name, comparison.rows, comparison.rows_before) == ("2026-11-24", 100, 200)
    assert statistics.datasets[0].num_examples == 100
    measured = {info.path.step[0]: info.drift_measurements[0].value for info in anomalies.drift_skew_info}
    assert {"age", "thal", "disease"} <= measured.keys()
    assert {name: drift.by_tfdv for name, drift in comparison.columns.items()} == pytest.approx(measured)
    assert not any(drift.is_beyond_chance for drift in comparison.columns.values())
    assert drift_of(verdict, "age").reason.endswith("; no limit is declared")
    assert f"TFDV's comparator: {measured['age']:.3f}" in drift_of(verdict, "age").reason


def test_what_changed_most_is_told_in_words_and_refuses_nothing_without_a_limit(tmp_path: Path) -> None:
    check = drift_of(validate(tmp_path, older), "age")
    drift = SpanComparison.read(tmp_path / "out" / "statistics" / NEWEST_SPAN).columns["age"]

    assert check.is_passed
    assert drift.is_beyond_chance
    assert drift.share_newest > 2 * drift.share_before
    assert f"; most changed: {drift.where}, {drift.share_before:.1%} before" in check.reason
    assert " to " in drift.where or "than" in drift.where


def test_values_that_go_missing_are_a_drift_too(tmp_path: Path) -> None:
    validate(tmp_path, without_values)
    drift = SpanComparison.read(tmp_path / "out" / "statistics" / NEWEST_SPAN).columns["thal"]

    assert drift.is_beyond_chance
    assert (drift.where, drift.share_newest) == ("rows without a value", pytest.approx(0.5, abs=0.04))


def test_a_declared_limit_holds_for_a_column_that_had_no_value_before(tmp_path: Path) -> None:
    project = Path(shutil.copytree(HEART, tmp_path / "project"))
    file = project / "data_dictionary.yaml"
    text = file.read_text()
    assert text.count("- name: ca\n") == 1
    file.write_text(text.replace("- name: ca\n", "- name: ca\n    drift: 0.05\n"))

    with pytest.raises(GateRejectedError, match="ca: the divergence of span 2026-11-24 from those before"):
        validate(tmp_path, project=project, before=without_any_value)


@pytest.mark.parametrize(("policy", "is_refused"), [("", True), ("    on_violation: warn\n", False)])
def test_a_declared_limit_refuses_a_span_or_warns_of_it_and_tfdv_finds_an_anomaly_too(
    tmp_path: Path, policy: str, is_refused: bool
) -> None:
    project = Path(shutil.copytree(HEART, tmp_path / "project"))
    file = project / "data_dictionary.yaml"
    text = file.read_text()
    assert text.count("- name: age\n") == 1
    file.write_text(text.replace("- name: age\n", f"- name: age\n    drift: 0.05\n{policy}"))

    assert validate(tmp_path / "alike", project=project).is_approved
    if is_refused:
        with pytest.raises(GateRejectedError, match="span 2026-11-24 from those before"):
            validate(tmp_path / "other", older, project)
    else:
        warnings = validate(tmp_path / "other", older, project).warnings
        assert [words.partition(":")[0] for words in warnings] == ["age"]
    anomalies = tfdv.load_anomalies_text(str(tmp_path / "other" / "out" / "anomalies" / "newest_span.pbtxt"))
    assert list(anomalies.anomaly_info) == ["age"]
