"""The newest span beside those before: by TFDV's drift comparator, and column by column in common cells.

TFDV's number is recorded beside ours and decides nothing: `divergence` says what its cells do to few rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2

from components.validate_data.dataset import Dataset, PartOfSplits, Rows, as_numbers, codes_of
from components.validate_data.statistics import Statistics
from components.validate_data.tfdv import tfdv
from mulgil.artifacts import Check, ColumnDrift, SpanComparison
from mulgil.contract import Column, ColumnRole, ColumnType
from mulgil.divergence import (
    CONFIDENCE,
    Bounds,
    divide_with_missing,
    greatest_by_chance,
    measure_divergence,
    name_cell,
)

_COMPARED = {ColumnType.FLOAT, ColumnType.INTEGER, ColumnType.BOOLEAN, ColumnType.CATEGORY}
_NONE = 1.0  # No divergence is greater.


@dataclass(frozen=True)
class NewestSpan:
    """Which rows are of the newest span.

    Attributes:
        name: The span.
        rows: How many it has in each split; they are the split's last ones.
        rows_before: How many the spans before have in each split.
    """

    name: str
    rows: Mapping[str, int]
    rows_before: Mapping[str, int]

    def divide(self, dataset: Dataset) -> tuple[PartOfSplits, PartOfSplits]:
        """Return its rows, and those of the spans before."""
        ends = {split: stored.num_rows for split, stored in dataset.splits.items()}
        newest = {split: (self.rows_before[split], end) for split, end in ends.items()}
        before = {split: (0, self.rows_before[split]) for split in ends}
        return PartOfSplits(dataset.splits, newest), PartOfSplits(dataset.splits, before)


def find_newest_span(dataset: Dataset) -> NewestSpan | None:
    """Return the newest span; `None` where there is nothing that it could be compared with."""
    if not dataset.manifest.spans:
        return None
    newest = dataset.manifest.spans[-1]
    before = {split: stored.num_rows - newest.rows[split] for split, stored in dataset.splits.items()}
    if not sum(newest.rows.values()) or not sum(before.values()):
        return None
    return NewestSpan(newest.name, newest.rows, before)


def compare_by_tfdv(
    columns: Sequence[Column], schema: schema_pb2.Schema, newest: Statistics, before: Statistics
) -> anomalies_pb2.Anomalies:
    """Have TFDV compare the newest span's statistics with those of the spans before.

    Args:
        columns: Those that are there with the right type.
        schema: All columns' types.
        newest: Of the newest span.
        before: Of the spans before.

    Returns:
        Each column's distance, and an anomaly for each that is beyond its declared limit.
    """
    limits = {column.name: column.drift or _NONE for column in _compared(columns)}
    features = [
        schema_pb2.Feature(
            name=feature.name,
            type=feature.type,
            drift_comparator=schema_pb2.FeatureComparator(
                jensen_shannon_divergence=schema_pb2.JensenShannonDivergence(threshold=limits[feature.name])
            ),
        )
        for feature in schema.feature
        if feature.name in limits
    ]
    return tfdv.validate_statistics(newest, schema_pb2.Schema(feature=features), previous_statistics=before)


def compare_spans(
    columns: Sequence[Column],
    splits: Mapping[str, Rows],
    span: NewestSpan,
    anomalies: anomalies_pb2.Anomalies,
) -> SpanComparison:
    """Measure how far each column's values in the newest span lie from those before.

    Args:
        columns: Those that are there with the right type.
        splits: The rows by split.
        span: Which of them are the newest span's.
        anomalies: What TFDV measured.
    """
    measured = {
        info.path.step[0]: info.drift_measurements[0].value
        for info in anomalies.drift_skew_info
        if info.drift_measurements
    }
    compared = _compared(columns)
    drifts: dict[str, ColumnDrift] = {}
    for column in compared:
        values = {split: rows[column.name] for split, rows in splits.items()}
        # Each of so many columns must be further away than all of them by chance.
        found = _measure(column, values, span, 1 - (1 - CONFIDENCE) / len(compared))
        if found is not None:
            drifts[column.name] = found.model_copy(update={"by_tfdv": measured.get(column.name)})
    return SpanComparison(
        name=span.name,
        rows=sum(span.rows.values()),
        rows_before=sum(span.rows_before.values()),
        columns=drifts,
    )


def judge_drift(comparison: SpanComparison) -> list[Check]:
    """Hold each column's drift against its declared limit, or what chance makes of it where that is more."""
    return [_judge(name, comparison.name, drift) for name, drift in comparison.columns.items()]


def _compared(columns: Sequence[Column]) -> list[Column]:
    roles = (ColumnRole.FEATURE, ColumnRole.TARGET)
    return [column for column in columns if column.role in roles and column.type in _COMPARED]


def _judge(name: str, span: str, drift: ColumnDrift) -> Check:
    sentence = (
        f"{name}: the divergence of span {span} from those before is {drift.divergence:.3f}, and up to "
        f"{drift.chance:.3f} would be chance"
    )
    if drift.by_tfdv is not None:
        sentence += f" (TFDV's comparator: {drift.by_tfdv:.3f})"
    if drift.is_beyond_chance:
        of_what = drift.where or "values of which none is shown"
        sentence += (
            f"; most changed: {of_what}, {drift.share_before:.1%} before, {drift.share_newest:.1%} now"
        )
    if drift.limit is None:
        return Check(
            name=f"drift:{name}",
            is_passed=True,
            value=drift.divergence,
            reason=f"{sentence}; no limit is declared",
        )
    held = max(drift.limit, drift.chance)
    return Check(
        name=f"drift:{name}",
        is_passed=drift.divergence <= held,
        value=drift.divergence,
        limit=held,
        reason=f"{sentence}; the dictionary allows {drift.limit:g}",
    )


def _measure(
    column: Column, values: Mapping[str, pa.ChunkedArray], span: NewestSpan, confidence: float
) -> ColumnDrift | None:
    numbers = as_numbers(values)
    before = np.concatenate([of[: span.rows_before[split]] for split, of in numbers.items()])
    newest = np.concatenate([of[span.rows_before[split] :] for split, of in numbers.items()])
    is_ordered = column.type not in (ColumnType.CATEGORY, ColumnType.BOOLEAN)
    cells = divide_with_missing(before, newest, is_ordered=is_ordered)
    if cells is None:
        return None
    bounds, share_before, share_newest = cells.greatest_change
    return ColumnDrift(
        divergence=measure_divergence(cells.p, cells.q),
        chance=greatest_by_chance(len(cells.p), len(before), len(newest), confidence),
        limit=column.drift,
        by_tfdv=None,
        where=_name(column, bounds, codes_of(values)),
        share_before=share_before,
        share_newest=share_newest,
    )


def _name(column: Column, bounds: Bounds, codes: Sequence[str]) -> str:
    """Say which values a cell holds; nothing where they may not be shown."""
    low = bounds[0]
    if math.isnan(low):
        return name_cell(bounds)
    if column.sensitive:
        return ""
    if column.type is ColumnType.CATEGORY:
        return codes[int(low)]
    if column.type is ColumnType.BOOLEAN:
        return "yes" if low else "no"
    return name_cell(bounds)
