"""How good a model is in each group of rows, and the rows that it is most wrong about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mulgil.artifacts import Evaluation, Interval, SliceScore
from mulgil.contract import Metric
from mulgil.reports.charts import IntervalRow, axis_around, draw_intervals
from mulgil.reports.figures import Figure
from mulgil.reports.page import format_number

# As many as a reader looks through; the others are in the evaluation. By eye.
_MOST_FIGURES = 12
# What stands beside a picture's rows without running into it.
_LONGEST_NAME = 11


@dataclass(frozen=True)
class WorstRows:
    """The rows that a model is most wrong about, as a table.

    Attributes:
        columns: Names of the features.
        rows: Each row's number, its truth, what the model says, its loss, its image if it has one, and its
            features.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[int, str, str, str, str, tuple[str, ...]], ...]


def draw_slices(evaluation: Evaluation) -> list[Figure]:
    """Draw the groups of each column, those first that are compared for fairness or lie farthest off."""
    by_column: dict[str, list[SliceScore]] = {}
    for one in evaluation.slices:
        by_column.setdefault(one.column, []).append(one)
    metric = Metric(evaluation.primary_metric)
    whole = evaluation.metrics[evaluation.primary_metric]
    drawn = [
        (_urgency(scores, metric, whole), _draw(column, scores, whole))
        for column, scores in by_column.items()
        if any(one.score for one in scores)
    ]
    return [figure for _, figure in sorted(drawn, key=lambda pair: pair[0])[:_MOST_FIGURES]]


def tabulate_worst_rows(evaluation: Evaluation) -> WorstRows | None:
    """Write the worst rows as a table; `None` where there are none to show."""
    if not evaluation.worst_rows:
        return None
    names = tuple(
        name for name, value in evaluation.worst_rows[0].instance.items() if not isinstance(value, dict)
    )
    rows = []
    for one in evaluation.worst_rows:
        images = [value["b64"] for value in one.instance.values() if isinstance(value, dict)]
        cells = tuple(_show(one.instance[name]) for name in names)
        answer = _tell(one.answer)
        rows.append((one.row, one.truth, answer, format_number(one.loss), images[0] if images else "", cells))
    return WorstRows(names, tuple(rows))


def _urgency(scores: list[SliceScore], metric: Metric, whole: Interval) -> tuple[bool, float]:
    sign = 1 if metric.is_better_high else -1
    ends = [one.score.high if metric.is_better_high else one.score.low for one in scores if one.score]
    return not any(one.is_compared_for_fairness for one in scores), min(
        sign * (end - whole.value) for end in ends
    )


def _draw(column: str, scores: list[SliceScore], whole: Interval) -> Figure:
    rows = [
        IntervalRow(_shorten(one.group), "c-model", one.score.value, one.score.low, one.score.high)
        for one in scores
        if one.score
    ]
    words = "; ".join(f"{row.name} {row.value:.3f} ({row.low:.3f} to {row.high:.3f})" for row in rows)
    axis = axis_around([whole.value, *(value for row in rows for value in (row.low, row.high))])
    is_fairness = any(one.is_compared_for_fairness for one in scores)
    return Figure(
        title=column,
        note="compared for fairness" if is_fairness else "",
        picture=draw_intervals(f"By {column}", words, rows, axis=axis, marked=whole.value),
        head=("", "rows", "value", "from", "to"),
        body=tuple((one.group, f"{one.rows:,}", *_numbers(one)) for one in scores),
    )


def _numbers(one: SliceScore) -> tuple[str, str, str]:
    if one.score is None:
        return one.reason, "", ""
    return f"{one.score.value:.3f}", f"{one.score.low:.3f}", f"{one.score.high:.3f}"


def _shorten(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"


def _show(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return format_number(value) if isinstance(value, int | float) else str("" if value is None else value)


def _tell(answer: float | Mapping[str, object]) -> str:
    if isinstance(answer, int | float):
        return format_number(answer)
    if "label" in answer:
        label, probabilities = answer["label"], answer["probabilities"]
        assert isinstance(probabilities, Mapping)
        return f"{label} ({format_number(probabilities[label])})"
    return ", ".join(f"{name} {_show(value)}" for name, value in answer.items())
