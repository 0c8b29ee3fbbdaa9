"""Every question that the gate asks, in one list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from tensorflow_metadata.proto.v0 import anomalies_pb2

from components.validate_data.anomalies import judge_columns
from components.validate_data.association import judge_association
from components.validate_data.dataset import Rows, as_numbers
from components.validate_data.divergence import judge_divergence
from components.validate_data.images import judge_repeated_images
from components.validate_data.leakage import judge_leakage
from components.validate_data.rows import judge_rows
from components.validate_data.span_drift import judge_drift
from components.validate_data.structure import find_structure_problems
from mulgil.artifacts import SPLITS, Check, SpanComparison
from mulgil.contract import Column, ColumnRole, ColumnType, DataDictionary
from mulgil.contract.violations import ViolationPolicy

# A column's values by split; NaN is missing.
Numbers = Mapping[str, npt.NDArray[np.float64]]


def judge_dataset(
    dictionary: DataDictionary,
    splits: Mapping[str, Rows],
    anomalies: Mapping[str, anomalies_pb2.Anomalies],
    comparison: SpanComparison | None = None,
) -> list[Check]:
    """Ask every question.

    Those that go beyond one column's declaration are asked only of columns that are there with the right
    type; the others have failed already.

    Args:
        dictionary: What the columns must be.
        splits: The rows by split.
        anomalies: What TFDV found, by split.
        comparison: How far the newest span lies from those before, where the source has spans.
    """
    columns = {column.name: column for column in dictionary.kept}
    ingested = {column.name: column for column in dictionary.ingested}
    problems = find_structure_problems(ingested, {split: table.schema for split, table in splits.items()})
    checks = [
        check if name in problems else _weigh(columns[name], check)
        for check in judge_columns(columns, splits, anomalies, problems)
        for name in [check.name.removeprefix("column:")]
    ]

    sound = [column for column in dictionary.kept if column.name not in problems]
    answers = {
        column.name: _as_numbers(column, splits) for column in sound if column.role is ColumnRole.TARGET
    }
    against_training: list[Check] = []
    against_target: dict[str, list[Check]] = {target: [] for target in answers}
    # One column after the other, so that no more of them is in memory than one and the targets.
    for column in sound:
        if column.role is ColumnRole.TARGET:
            against_training += _judge_against_training(column, answers[column.name])
        if column.type is ColumnType.IMAGE:
            against_training.append(
                judge_repeated_images(
                    column.name, {split: rows[column.name] for split, rows in splits.items()}
                )
            )
        elif column.role is ColumnRole.FEATURE:
            values = _as_numbers(column, splits)
            against_training += [_weigh(column, check) for check in _judge_against_training(column, values)]
            for target, found in against_target.items():
                judged = _judge_against_target(column, values, columns[target], answers[target])
                found += [_weigh(column, check) for check in judged]
    checks += against_training
    if comparison is not None:
        checks += [
            _weigh(columns[check.name.removeprefix("drift:")], check) for check in judge_drift(comparison)
        ]
    for target, by_split in answers.items():
        for split, among in by_split.items():
            name = f"rows:{split}" if len(dictionary.targets) == 1 else f"rows:{split}:{target}"
            checks.append(judge_rows(name, split, columns[target], among))
        checks += against_target[target]
    return checks


def _weigh(column: Column, check: Check) -> Check:
    """Let a check of a column that is to be warned of not decide."""
    return check.model_copy(update={"is_blocking": column.on_violation is not ViolationPolicy.WARN})


def _as_numbers(column: Column, splits: Mapping[str, Rows]) -> Numbers:
    return as_numbers({split: rows[column.name] for split, rows in splits.items()})


def _judge_against_training(column: Column, values: Numbers) -> list[Check]:
    return [
        judge_divergence(
            column.name,
            split,
            values["train"],
            values[split],
            is_ordered=column.type is not ColumnType.CATEGORY,
            limit=column.skew,
        )
        for split in values
        if split != "train"
    ]


def _judge_against_target(column: Column, values: Numbers, target: Column, answers: Numbers) -> list[Check]:
    is_ordered = column.type is not ColumnType.CATEGORY
    checks = [
        judge_leakage(
            column.name,
            target.name,
            _join(values, SPLITS),
            _join(answers, SPLITS),
            is_ordered=is_ordered,
            is_number=target.type.is_numeric,
        )
    ]
    if column.expects is not None:
        # The test rows are looked at once, by the evaluation: nothing is learned from them here.
        seen = ("train", "validation")
        checks.append(
            judge_association(
                column.name, target.name, column.expects, _join(values, seen), _join(answers, seen)
            )
        )
    return checks


def _join(values: Numbers, splits: Sequence[str]) -> npt.NDArray[np.float64]:
    return np.concatenate([values[split] for split in splits])
