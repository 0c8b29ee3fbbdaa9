"""The gate between ingestion and everything that learns from its rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2

from components.validate_data import PROJECT_SECTIONS
from components.validate_data.dataset import Dataset, read_dataset
from components.validate_data.distributions import summarise_distributions
from components.validate_data.divided_statistics import compute_statistics_of
from components.validate_data.judgement import judge_dataset
from components.validate_data.rules import judge_rules
from components.validate_data.schema import derive_schema
from components.validate_data.span_drift import compare_by_tfdv, compare_spans, find_newest_span
from components.validate_data.statistics import Statistics, find_anomalies
from components.validate_data.structure import find_structure_problems
from mulgil.artifacts import (
    NEWEST_SPAN,
    SUMMARY,
    DistributionSummary,
    SpanComparison,
    Verdict,
    staged_directory,
)
from mulgil.contract import load_project
from mulgil.contract.specifications import specify_validation

GATE = "validate_data"


def validate_data(
    *, project_path: Path, dataset_path: Path, verdict_path: Path, statistics_path: Path, anomalies_path: Path
) -> Verdict:
    """Judge an ingested dataset against its dictionary.

    Args:
        project_path: The project folder.
        dataset_path: Directory that `ingest_data` wrote.
        verdict_path: The verdict to write.
        statistics_path: Directory to write: `train.pb`, `validation.pb` and `test.pb`, which
            `tfdv.load_stats_binary` loads, `schema.pbtxt`, for `tfdv.load_schema_text`, and `summary.json`,
            the distributions of the columns that are not sensitive. Of a source in spans also
            `newest_span.pb`, `spans_before.pb` and `newest_span.json`, how far they lie apart.
        anomalies_path: Directory to write: `train.pbtxt`, `validation.pbtxt` and `test.pbtxt`, which
            `tfdv.load_anomalies_text` loads, and of a source in spans `newest_span.pbtxt`. They may quote a
            sensitive column's values; the verdict never.

    Returns:
        The verdict, where it is an approval.

    Raises:
        InputError: The project or the dataset cannot be read.
        GateRejectedError: A check failed. Everything is written all the same.
    """
    dictionary = load_project(project_path, PROJECT_SECTIONS).dictionary
    dataset = read_dataset(dataset_path)
    schema = derive_schema(specify_validation(dictionary))
    keys = dictionary.keys
    statistics = {
        split: compute_statistics_of(rows, set(rows.schema.names) - keys)
        for split, rows in dataset.splits.items()
    }
    anomalies = {split: find_anomalies(found, schema) for split, found in statistics.items()}
    problems = find_structure_problems(
        {column.name: column for column in dictionary.ingested},
        {split: rows.schema for split, rows in dataset.splits.items()},
    )
    sound = [column for column in dictionary.kept if column.name not in problems]
    span = find_newest_span(dataset)
    comparison = None
    if span is not None:
        newest, before = (
            compute_statistics_of(rows, set(rows.schema.names) - keys) for rows in span.divide(dataset)
        )
        statistics |= {"newest_span": newest, "spans_before": before}
        anomalies["newest_span"] = compare_by_tfdv(sound, schema, newest, before)
        comparison = compare_spans(sound, dataset.splits, span, anomalies["newest_span"])

    checks = judge_dataset(
        dictionary, dataset.splits, {split: anomalies[split] for split in dataset.splits}, comparison
    )
    checks += judge_rules(dictionary, dataset.splits, problems)
    verdict = Verdict.of(GATE, dataset.manifest.fingerprint, checks)
    summary = summarise_distributions(dictionary, dataset.splits)
    _write_statistics(statistics_path, statistics, schema, summary, comparison)
    _write_anomalies(anomalies_path, anomalies)
    verdict.write(verdict_path)

    _print_summary(dataset, verdict)
    verdict.require_approval()
    return verdict


def _write_statistics(
    path: Path,
    statistics: Mapping[str, Statistics],
    schema: schema_pb2.Schema,
    summary: DistributionSummary,
    comparison: SpanComparison | None,
) -> None:
    with staged_directory(path) as staged:
        for split, found in statistics.items():
            (staged / f"{split}.pb").write_bytes(found.SerializeToString())
        (staged / "schema.pbtxt").write_text(text_format.MessageToString(schema))
        summary.write(staged / SUMMARY)
        if comparison is not None:
            comparison.write(staged / NEWEST_SPAN)


def _write_anomalies(path: Path, anomalies: Mapping[str, anomalies_pb2.Anomalies]) -> None:
    with staged_directory(path) as staged:
        for split, found in anomalies.items():
            (staged / f"{split}.pbtxt").write_text(text_format.MessageToString(found))


def _print_summary(dataset: Dataset, verdict: Verdict) -> None:
    rows = ", ".join(f"{split} {stored.num_rows}" for split, stored in dataset.splits.items())
    print(f"Validated {sum(dataset.manifest.rows.values())} rows ({rows}).")
    asked, failed = len(verdict.checks), len(verdict.reasons)
    print(f"Rejected by {failed} of {asked} checks." if failed else f"Approved by {asked} checks.")
    for warning in verdict.warnings:
        print(f"  warning: {warning}")
