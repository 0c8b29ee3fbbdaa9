"""TFDV's anomalies and the exact counts as one check a column."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
from tensorflow_metadata.proto.v0 import anomalies_pb2

from components.validate_data.domains import describe_declaration, find_violations
from mulgil.artifacts import Check
from mulgil.contract import Column


def judge_columns(
    columns: Mapping[str, Column],
    splits: Mapping[str, pa.Table],
    anomalies: Mapping[str, anomalies_pb2.Anomalies],
    problems: Mapping[str, str],
) -> list[Check]:
    """Ask of every column whether it is as the dictionary says.

    Args:
        columns: The dictionary's kept columns by name.
        splits: The rows by split.
        anomalies: What TFDV found, by split.
        problems: What is wrong with the files' structure, by column; then there is no more to say of it.

    Returns:
        One check a column, and one for each column that should not be there. The value is the number of
        rows that break the declaration, where it is rows that do.
    """
    structural = [
        Check(name=f"column:{name}", is_passed=False, reason=f"{name}: {problem}")
        for name, problem in problems.items()
    ]
    return structural + [
        _judge_values(column, {split: table[name] for split, table in splits.items()}, anomalies)
        for name, column in columns.items()
        if name not in problems
    ]


def _judge_values(
    column: Column,
    splits: Mapping[str, pa.ChunkedArray],
    anomalies: Mapping[str, anomalies_pb2.Anomalies],
) -> Check:
    violations = find_violations(column, splits)
    rest = [] if violations else _words_of_tfdv(column, anomalies)
    wrong = [f"expected {v.expected}; received {v.received}" for v in violations] + rest
    return Check(
        name=f"column:{column.name}",
        is_passed=not wrong,
        value=sum(violation.rows for violation in violations),
        limit=0,
        reason=f"{column.name}: " + ("; ".join(wrong) or describe_declaration(column)),
    )


def _words_of_tfdv(column: Column, anomalies: Mapping[str, anomalies_pb2.Anomalies]) -> list[str]:
    """Return what only TFDV found, such as a value that float32 cannot hold."""
    return [
        f"TFDV finds in {split}: {'(hidden)' if column.sensitive else reason.description}"
        for split, found in anomalies.items()
        if column.name in found.anomaly_info
        for reason in found.anomaly_info[column.name].reason
    ]
