"""How good the model is in each group of rows, and where it is surely worse than on all of them.

A group's interval says what its few rows can tell: a group is only called worse where the whole interval
lies below. Many groups are asked, so each is asked at its share of the error (Bonferroni): with 95 % and ten
groups at 99.5 % each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from components.evaluate_model.bootstrap import replicate
from components.evaluate_model.intervals import find_interval
from components.evaluate_model.metrics import Floats
from components.evaluate_model.task_metrics import MEDIAN, Truth
from mulgil.artifacts import Check, Interval, SliceScore
from mulgil.contract import Column, ColumnType, DataDictionary, Metric, Task
from mulgil.preprocessing.rows import TrainingRows

# Fewer rows have an interval that tells nothing. Chosen by eye.
_LEAST_ROWS = 20
# Of a number, groups of about equally many rows.
_PARTS = 4
# More codes than a reader compares; the commonest are asked. Chosen by eye.
_MOST_CODES = 12
# Each takes its share of the error, so that more of them tell less of each. Chosen by eye.
_MOST_SLICES = 40
# More rows make an interval narrower than anybody looks, and each group takes its time. Chosen by eye.
_MOST_ROWS = 200_000

Booleans = npt.NDArray[np.bool_]


def score_slices(
    task: Task,
    metric: Metric,
    dictionary: DataDictionary,
    rows: TrainingRows,
    predicted: Floats,
    confidence: float,
    quantile: float = MEDIAN,
) -> tuple[SliceScore, ...]:
    """Measure the model in each group.

    Args:
        task: The task.
        metric: What is measured.
        dictionary: Its features divide the rows: by code, yes or no, or quarter of a number's rows.
        rows: The test rows; of very many, evenly spread ones are asked.
        predicted: What the model gave for them.
        confidence: Of all intervals together.
        quantile: Of the pinball loss.

    Returns:
        A score a group: columns that are compared for fairness first, then codes, then numbers.
    """
    if len(rows) > _MOST_ROWS:
        places = np.linspace(0, len(rows) - 1, _MOST_ROWS).astype(np.intp)
        rows, predicted = rows.take(places), predicted[places]
    columns = sorted(dictionary.features, key=_order)
    groups = [
        (column, name, is_in)
        for column in columns
        if not column.sensitive or column.fairness
        for name, is_in in _divide(column, rows)
    ][:_MOST_SLICES]
    measurable = [is_in for _, _, is_in in groups if _explain(task, rows.target, is_in) is None]
    each = 1 - (1 - confidence) / max(1, len(measurable))
    scores = []
    for column, name, is_in in groups:
        reason = _explain(task, rows.target, is_in)
        scores.append(
            SliceScore(
                column=column.name,
                group=name,
                rows=int(is_in.sum()),
                is_compared_for_fairness=column.fairness,
                score=None
                if reason
                else _measure(task, metric, rows.target[is_in], predicted[is_in], each, quantile),
                reason=reason or "",
            )
        )
    return tuple(scores)


def check_slices(metric: Metric, whole: float, scores: Sequence[SliceScore], margin: float) -> Check:
    """Ask whether some group is surely worse off than all rows together by more than a margin."""
    sign = 1.0 if metric.is_better_high else -1.0
    asked = [(one, one.score) for one in scores if one.score is not None]
    # The end of the interval at which the group is best off.
    best = {
        (one.column, one.group): (score.high if metric.is_better_high else score.low) for one, score in asked
    }
    worse = [
        f"{one.column} {one.group}: {score.value:.3f} ({score.low:.3f} to {score.high:.3f}, {one.rows} rows)"
        for one, score in asked
        if sign * (best[one.column, one.group] - whole) < -margin
    ]
    gaps = [sign * (value - whole) for value in best.values()]
    finding = "; ".join(worse) or f"none of {len(asked)} groups is"
    return Check(
        name="slices",
        is_passed=not worse,
        value=min(gaps, default=None),
        limit=-margin,
        reason=(
            f"{metric} by group against {whole:.3f} on all rows: {finding} surely worse by over {margin:g}"
        ),
    )


def _order(column: Column) -> tuple[bool, bool]:
    return not column.fairness, column.type.is_numeric


def _measure(
    task: Task, metric: Metric, target: Truth, predicted: Floats, confidence: float, quantile: float
) -> Interval:
    measured = replicate(task, target, {"model": predicted}, (metric,), quantile=quantile)["model"][metric]
    return find_interval(measured, task, metric, target, predicted, confidence, quantile)


def _explain(task: Task, target: Truth, is_in: Booleans) -> str | None:
    """Say why a group is not measured; `None` where it is."""
    count = int(is_in.sum())
    if count < _LEAST_ROWS:
        return f"fewer than {_LEAST_ROWS} rows"
    among = target[is_in].reshape(count, -1)
    # One row of an answer would leave none when rows are left out.
    rarest = [np.unique(one, return_counts=True)[1] for one in among.T]
    if not task.is_classification:
        return None if all(len(counts) > 1 for counts in rarest) else "the same number in every row"
    if task is Task.MULTICLASS_CLASSIFICATION:
        return None if (rarest[0] > 1).sum() > 1 else "one class alone"
    is_told = any(len(counts) > 1 and counts.min() > 1 for counts in rarest)
    return None if is_told else "one answer alone"


def _divide(column: Column, rows: TrainingRows) -> Iterator[tuple[str, Booleans]]:
    values = rows.features[column.name]
    if column.type in (ColumnType.CATEGORY, ColumnType.BOOLEAN):
        counts = {str(entry["values"]): entry["counts"] for entry in pc.value_counts(values).to_pylist()}
        counts.pop("None", None)
        meanings = column.categories or {"False": "no", "True": "yes"}
        commonest = sorted(counts, key=lambda code: -counts[code])[:_MOST_CODES]
        words = np.array([str(value) for value in values.to_pylist()], dtype=object)
        for code in [code for code in meanings if code in commonest]:
            shown = code if column.type is ColumnType.CATEGORY else meanings[code]
            yield shown, words == code
    elif column.type.is_numeric:
        numbers = rows.tensors[column.name].astype(np.float64)
        there = numbers[~np.isnan(numbers)]
        if not len(there):
            return
        edges = np.unique(np.quantile(there, np.linspace(0, 1, _PARTS + 1), method="inverted_cdf"))
        for place, (low, high) in enumerate(pairwise(edges.tolist()), start=1):
            is_first, is_last = low == edges[0], high == edges[-1]
            # Half open, so that no row is in two.
            is_in = (numbers <= high) & ((numbers >= low) if is_first else (numbers > low))
            name = f"above {low:.3g}" if is_last and not is_first else f"to {high:.3g}"
            yield f"part {place}" if column.sensitive else name, is_in
    if values.null_count:
        yield "missing", pc.is_null(values).to_numpy(zero_copy_only=False).astype(bool)
