"""How a model's answers lie to the truth on the test rows, by task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from mulgil.artifacts import ClassConfusion, Confusion, Evaluation, NumberFit
from mulgil.contract import Metric, Task
from mulgil.reports.charts import Axis, Line, axis_around, draw_bars, draw_lines
from mulgil.reports.figures import Figure
from mulgil.reports.page import format_number

_BESIDE = {
    Task.BINARY_CLASSIFICATION: ("always gives the share of yes", "logistic regression"),
    Task.MULTICLASS_CLASSIFICATION: ("always gives the classes' shares", "logistic regression"),
    Task.MULTILABEL_CLASSIFICATION: (
        "always gives each label's share of yes",
        "a logistic regression a label",
    ),
    Task.SCALAR_REGRESSION: ("always gives the mean", "ridge regression"),
    Task.VECTOR_REGRESSION: ("always gives the means", "ridge regression"),
}
_BESIDE_A_QUANTILE = ("always gives the rows' quantile", "quantile regression without a penalty")


@dataclass(frozen=True)
class CallTable:
    """What was called what.

    Attributes:
        title: Whose calls these are.
        note: By which rule something is called.
        called: The headings of the columns.
        rows: What was, and how many of it were called each.
    """

    title: str
    note: str
    called: tuple[str, ...]
    rows: tuple[tuple[str, tuple[int, ...]], ...]


def describe_others(evaluation: Evaluation) -> tuple[str, str]:
    """Say what the baseline does, and what the reference is."""
    is_of_a_quantile = evaluation.quantile is not None or evaluation.primary_metric == Metric.PINBALL
    baseline, reference = _BESIDE_A_QUANTILE if is_of_a_quantile else _BESIDE[Task(evaluation.task)]
    if evaluation.reference_rows is None:
        return baseline, f"{reference} fitted on the same rows"
    part = f"{evaluation.reference_rows:,} of the same rows, as it is a linear program"
    return baseline, f"{reference} fitted on {part}"


def tabulate_calls(evaluation: Evaluation, names: Mapping[str, str]) -> list[CallTable]:
    """Return a table for each model, or label.

    Args:
        evaluation: What was measured.
        names: What each model is called.
    """
    tables = [
        _of_answers(_title(model, names), curves.confusion) for model, curves in evaluation.curves.items()
    ]
    return tables + [
        _of_classes(_title(model, names), confusion) for model, confusion in evaluation.confusions.items()
    ]


def draw_fits(
    fits: Mapping[str, Mapping[str, NumberFit]], styles: Mapping[str, tuple[str, str]]
) -> list[Figure]:
    """Draw predicted against true numbers and the errors, for each target.

    Args:
        fits: By model and target.
        styles: Name and colour of each model.
    """
    if "model" not in fits:
        return []
    return [figure for target in fits["model"] for figure in _draw_fit(target, fits, styles)]


def _draw_fit(
    target: str, fits: Mapping[str, Mapping[str, NumberFit]], styles: Mapping[str, tuple[str, str]]
) -> list[Figure]:
    fit = fits["model"][target]
    both = axis_around(value for point in fit.points for value in point)
    edges = fit.error_edges
    bins = [f"{format_number(low)} to {format_number(high)}" for low, high in pairwise(edges)]
    title = f"{target}: predicted and true"
    errors = f"{target}: errors"
    return [
        Figure(
            title=title,
            note="on the diagonal, the prediction is the truth",
            picture=draw_lines(
                title,
                f"The model's prediction against the true number, for {len(fit.points)} of the test rows.",
                [Line(*styles["model"], points=[point], has_dots=True) for point in fit.points],
                x=Axis(both.low, both.high, "predicted"),
                y=Axis(both.low, both.high, "true"),
                is_diagonal_shown=True,
            ),
            head=("predicted", "true"),
            body=tuple((format_number(predicted), format_number(true)) for predicted, true in fit.points),
        ),
        Figure(
            title=errors,
            note="predicted less true",
            picture=draw_bars(
                errors,
                "Test rows by the error of the model's prediction.",
                [(*styles["model"], fit.errors)],
                names=bins,
                x=Axis(edges[0], edges[-1] if edges[-1] > edges[0] else edges[0] + 1, "predicted less true"),
                height=260,
                y_label="rows",
            ),
            head=("error", "rows"),
            body=tuple((name, str(count)) for name, count in zip(bins, fit.errors, strict=True)),
        ),
    ]


def _title(model: str, names: Mapping[str, str]) -> str:
    first, _, label = model.partition(" ")
    return f"{names.get(first, first)}, {label}" if label else names.get(first, first)


def _of_answers(title: str, confusion: Confusion) -> CallTable:
    return CallTable(
        title,
        f"a probability from {confusion.threshold:.3g} is called a yes",
        ("no", "yes"),
        (
            ("no", (confusion.true_negatives, confusion.false_positives)),
            ("yes", (confusion.false_negatives, confusion.true_positives)),
        ),
    )


def _of_classes(title: str, confusion: ClassConfusion) -> CallTable:
    counts: Sequence[tuple[int, ...]] = confusion.counts
    return CallTable(
        title,
        "the most probable class is called",
        confusion.labels,
        tuple(zip(confusion.labels, counts, strict=True)),
    )
