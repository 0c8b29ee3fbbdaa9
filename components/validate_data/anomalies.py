"""TFDV's anomalies and the exact counts as one check a column."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
from tensorflow_metadata.proto.v0 import anomalies_pb2

from components.validate_data.dataset import Rows
from components.validate_data.domains import describe_declaration, find_violations
from components.validate_data.images import MEASURES, name_of
from mulgil.artifacts import Check
from mulgil.contract import Column


def judge_columns(
    columns: Mapping[str, Column],
    splits: Mapping[str, Rows],
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
    wrong = [f"expected {violation.expected}; received {violation.received}" for violation in violations]
    wrong = wrong or _find_what_only_tfdv_does(column, anomalies)
    return Check(
        name=f"column:{column.name}",
        is_passed=not wrong,
        value=sum(violation.rows for violation in violations) if violations or not wrong else None,
        limit=0,
        reason=f"{column.name}: " + ("; ".join(wrong) or describe_declaration(column)),
    )


def _find_what_only_tfdv_does(column: Column, anomalies: Mapping[str, anomalies_pb2.Anomalies]) -> list[str]:
    """Return such as a number too great for float32, which TFDV takes for an infinite one."""
    splits: dict[str, dict[str, None]] = {}
    # Of an image each of its measures is a column of TFDV's.
    names = [name_of(column.name, measure) for measure in MEASURES] if column.image else [column.name]
    for split, found in anomalies.items():
        # Reading a key of this map would add it.
        reasons = [
            reason
            for name in names
            if name in found.anomaly_info
            for reason in found.anomaly_info[name].reason
        ]
        for reason in reasons:
            # The short one quotes no value.
            words = reason.short_description if column.sensitive else reason.description
            splits.setdefault(words, {})[split] = None
    expected = describe_declaration(column)
    return [f"expected {expected}; TFDV: {words} ({', '.join(where)})" for words, where in splits.items()]
