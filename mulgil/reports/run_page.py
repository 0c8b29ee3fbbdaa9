"""A run as a page for people: what went in, what came out, how good it is and who let it pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from mulgil.artifacts import SPLITS, Check, Evaluation, Interval, ScoreCurves
from mulgil.contract import Metric
from mulgil.exploration.columns import Explored
from mulgil.local.run_store import State
from mulgil.reports.answer_figures import describe_others, draw_fits, tabulate_calls
from mulgil.reports.charts import (
    Axis,
    IntervalRow,
    Line,
    axis_around,
    draw_arcs,
    draw_bars,
    draw_intervals,
    draw_lines,
    draw_shares,
)
from mulgil.reports.decision_figures import draw_decision
from mulgil.reports.distribution_figures import draw_columns
from mulgil.reports.evidence import RunEvidence
from mulgil.reports.figures import Figure
from mulgil.reports.page import as_words, format_number, format_seconds, name_metric, open_templates
from mulgil.reports.sample_figures import draw_samples
from mulgil.reports.selection_figure import draw_selection
from mulgil.reports.slice_figures import draw_slices, tabulate_worst_rows
from mulgil.reports.step_graph import reduce_edges
from mulgil.reports.training_figures import draw_training

# Height of a step's row, in rem; the stylesheet has the same.
_STEP_ROW = 3.75

_MODELS = {
    "model": ("model", "c-model"),
    "baseline": ("baseline", "c-baseline"),
    "reference": ("reference", "c-reference"),
    "champion": ("champion", "c-champion"),
}

_NAMES = {model: name for model, (name, _) in _MODELS.items()}

_EXIT_CODES = {
    1: "a defect, with a traceback in the log",
    2: "the input is wrong",
    3: "a gate said no",
    4: "it cannot work here; retrying will not help",
    75: "not now; a retry is sensible",
}


@dataclass(frozen=True)
class Fact:
    """One thing that a reader looks for first.

    Attributes:
        name: What it is.
        value: The thing.
        note: What to know of it.
    """

    name: str
    value: str
    note: str = ""


def render_run_page(evidence: RunEvidence, explored: Explored | None = None) -> str:
    """Write a run as one HTML file that opens without a network.

    Args:
        evidence: What is known of the run.
        explored: Columns of its training rows that are shown as pictures and texts, if there are such.
    """
    evaluation = evidence.evaluation
    return (
        open_templates()
        .get_template("run.html.jinja")
        .render(
            run=evidence.run,
            evidence=evidence,
            headline=_headline(evidence),
            facts=_facts(evidence),
            steps=_step_rows(evidence),
            arcs=_draw_arcs(evidence),
            exit_codes=_EXIT_CODES,
            intervals=_draw_metrics(evaluation) if evaluation else [],
            improvements=_draw_improvements(evaluation) if evaluation else None,
            curves=_draw_answers(evaluation) if evaluation else [],
            decision=draw_decision(evaluation.decision) if evaluation and evaluation.decision else [],
            slices=draw_slices(evaluation) if evaluation else [],
            worst=tabulate_worst_rows(evaluation) if evaluation else None,
            calls=tabulate_calls(evaluation, _NAMES) if evaluation else [],
            beside=describe_others(evaluation) if evaluation else None,
            training=draw_training(evidence.history, evaluation) if evidence.history else None,
            selection=draw_selection(evidence.history.selection)
            if evidence.history and evidence.history.selection
            else None,
            rows=_draw_rows(evidence),
            samples=draw_samples(explored) if explored is not None else None,
            columns=draw_columns(evidence),
            kinds=_count_kinds(evidence.validation.checks) if evidence.validation else {},
            lineage=_lineage(evidence),
            models=_MODELS,
            is_rejected=_is_rejected(evidence),
        )
    )


def _is_rejected(evidence: RunEvidence) -> bool:
    return any(not verdict.is_approved for verdict in evidence.verdicts)


def _headline(evidence: RunEvidence) -> str:
    """Say how the run stands in a sentence."""
    run = evidence.run
    if run.state is State.SUCCEEDED and evidence.endpoint:
        return "Approved by every gate and serving."
    if run.state is State.SUCCEEDED and evidence.judgement:
        return "Approved by every gate and registered; not deployed."
    if run.state is State.FAILED and evidence.failed:
        step = evidence.failed[0]
        verb = "rejected it" if _is_rejected(evidence) else "failed"
        return f"{as_words(step.title).capitalize()} {verb}; nothing after it ran."
    return {
        State.RUNNING: "It is still running, or was killed: this is what there is so far.",
        State.INTERRUPTED: "It was interrupted: this is what there was until then.",
    }.get(run.state, f"The run {run.state}.")


def _facts(evidence: RunEvidence) -> list[Fact]:
    facts = []
    if evaluation := evidence.evaluation:
        metric = evaluation.metrics[evaluation.primary_metric]
        facts.append(
            Fact(
                f"Test {name_metric(evaluation.primary_metric)}",
                f"{metric.value:.3f}",
                f"{metric.confidence:.0%} interval {metric.low:.3f} to {metric.high:.3f}, "
                f"{evaluation.rows:,} rows",
            )
        )
    for verdict in evidence.verdicts:
        passed = sum(check.is_passed for check in verdict.checks)
        facts.append(
            Fact(
                "Data" if verdict.gate == "validate_data" else "Model",
                "approved" if verdict.is_approved else "rejected",
                f"{passed} of {len(verdict.checks)} checks passed",
            )
        )
    if dataset := evidence.dataset:
        lost = dataset.rows_quarantined + dataset.rows_deduplicated
        facts.append(
            Fact("Rows", format_number(dataset.rows_read), f"{format_number(lost)} of them set aside")
        )
    if registered := evidence.registered:
        facts.append(Fact("Version", registered.version, registered.name))
    if evidence.run.ended_at is not None:
        took = format_seconds(evidence.run.ended_at - evidence.run.started_at)
        facts.append(Fact("Took", took, f"{len(evidence.steps)} steps"))
    return facts


@dataclass(frozen=True)
class _StepRow:
    """A step beside its place in time: `start` and `width` in percent of the whole run."""

    path: str
    title: str
    state: str
    outcome: str
    after: str
    start: float
    width: float


def _step_rows(evidence: RunEvidence) -> list[_StepRow]:
    ran = [step for step in evidence.steps if step.has_run and step.started_at is not None]
    begin = min((step.started_at or 0.0 for step in ran), default=0.0)
    end = max((step.ended_at or step.started_at or 0.0 for step in ran), default=begin)
    whole = (end - begin) or 1.0
    order = [step.path for step in evidence.steps]
    before: dict[int, list[str]] = {}
    for earlier, later in reduce_edges(evidence.edges, order):
        before.setdefault(later, []).append(evidence.steps[earlier].title)
    rows = []
    for i, step in enumerate(evidence.steps):
        start = 100 * ((step.started_at or begin) - begin) / whole if step.has_run else 0.0
        rows.append(
            _StepRow(
                path=step.path,
                title=step.title,
                state=str(step.state or "not started"),
                outcome=_outcome(step.seconds, step.state, step.exit_code),
                after=", ".join(before.get(i, [])),
                start=start,
                width=100 * step.seconds / whole,
            )
        )
    return rows


def _outcome(seconds: float, state: State | None, exit_code: int | None) -> str:
    if state is State.SKIPPED:
        return "its condition was false"
    if state is State.BLOCKED:
        return "a step before it failed"
    if state is State.CACHED:
        return "an earlier run had equal inputs"
    if state is State.RECONCILED:
        return "its store was as an earlier run left it"
    if state is None:
        return ""
    return format_seconds(seconds) + (f", exit code {exit_code}" if exit_code else "")


def _draw_arcs(evidence: RunEvidence) -> Markup:
    order = [step.path for step in evidence.steps]
    styles = [f"s-{step.state or 'none'}" for step in evidence.steps]
    return draw_arcs(len(order), reduce_edges(evidence.edges, order), styles, _STEP_ROW)


def _measured(evaluation: Evaluation) -> dict[str, Mapping[str, Interval]]:
    measured = {
        "model": evaluation.metrics,
        "champion": evaluation.champion,
        "reference": evaluation.reference,
        "baseline": evaluation.baseline,
    }
    return {model: metrics for model, metrics in measured.items() if metrics}


def _rows_of(intervals: Mapping[str, Interval]) -> list[IntervalRow]:
    return [
        IntervalRow(*_MODELS[model], interval.value, interval.low, interval.high)
        for model, interval in intervals.items()
    ]


def _draw_metrics(evaluation: Evaluation) -> list[Figure]:
    """Draw every metric of every model, the primary one first."""
    measured = _measured(evaluation)
    names = sorted(evaluation.metrics, key=lambda name: name != evaluation.primary_metric)
    figures = []
    for name in names:
        intervals = {model: metrics[name] for model, metrics in measured.items() if name in metrics}
        rows = _rows_of(intervals)
        title = name_metric(name)
        title = title[0].upper() + title[1:]
        notes = ["the gates' metric"] * (name == evaluation.primary_metric)
        notes += ["less is better"] * (not Metric(name).is_better_high)
        words = "; ".join(f"{row.name} {row.value:.3f} ({row.low:.3f} to {row.high:.3f})" for row in rows)
        axis = axis_around(value for row in rows for value in (row.low, row.value, row.high))
        figures.append(
            Figure(
                title=title,
                note=", ".join(notes),
                picture=draw_intervals(title, words, rows, axis=axis),
                head=("", "value", "from", "to"),
                body=tuple((row.name, *map(_digits, (row.value, row.low, row.high))) for row in rows),
            )
        )
    return figures


def _draw_improvements(evaluation: Evaluation) -> Figure | None:
    rows = [
        IntervalRow(f"over {name}", _MODELS[model][1], interval.value, interval.low, interval.high)
        for model, interval in evaluation.improvements.items()
        for name in (_MODELS[model][0],)
    ]
    if not rows:
        return None
    title = f"How much better in {name_metric(evaluation.primary_metric)}"
    words = "; ".join(f"{row.name} by {row.value:.3f} ({row.low:.3f} to {row.high:.3f})" for row in rows)
    axis = axis_around([0.0, *(value for row in rows for value in (row.low, row.high))])
    return Figure(
        title=title,
        note="paired on the same rows; right of the line is better",
        picture=draw_intervals(title, words, [_shortened(row) for row in rows], axis=axis, marked=0.0),
        head=("", "difference", "from", "to"),
        body=tuple((row.name, *map(_digits, (row.value, row.low, row.high))) for row in rows),
    )


def _shortened(row: IntervalRow) -> IntervalRow:
    return IntervalRow(row.name.removeprefix("over "), row.style, row.value, row.low, row.high)


def _draw_answers(evaluation: Evaluation) -> list[Figure]:
    """Draw what the task's answers are seen by."""
    # Of several labels the tables below tell more than dozens of curves.
    curves = {model: curve for model, curve in evaluation.curves.items() if model in _MODELS}
    return [*(_draw_curves(curves) if curves else []), *draw_fits(evaluation.fits, _MODELS)]


def _draw_curves(curves: Mapping[str, ScoreCurves]) -> list[Figure]:
    share = Axis(0, 1)
    names = ", ".join(_MODELS[model][0] for model in curves)
    figures = [
        Figure(
            title="ROC curve",
            note="yes found against no called yes",
            picture=draw_lines(
                "ROC curve",
                f"True positive rate against false positive rate at every threshold: {names}.",
                [Line(*_MODELS[model], points=curve.roc) for model, curve in curves.items()],
                x=Axis(0, 1, "false positive rate"),
                y=Axis(0, 1, "true positive rate"),
                is_diagonal_shown=True,
            ),
            head=("", "false positive rate", "true positive rate"),
            body=_points({model: curve.roc for model, curve in curves.items()}),
        ),
        Figure(
            title="Precision and recall",
            note="how clean against how complete",
            picture=draw_lines(
                "Precision and recall",
                f"Precision against recall at every threshold: {names}.",
                [
                    # Leftwards: a precision holds down to the next lower recall, as average precision counts.
                    Line(*_MODELS[model], points=curve.precision_recall[::-1], is_stepped=True)
                    for model, curve in curves.items()
                ],
                x=Axis(0, 1, "recall"),
                y=Axis(0, 1, "precision"),
            ),
            head=("", "recall", "precision"),
            body=_points({model: curve.precision_recall for model, curve in curves.items()}),
        ),
        Figure(
            title="Calibration",
            note="on the diagonal, 70 % means 70 of 100",
            picture=draw_lines(
                "Calibration",
                f"Share of yes against the mean probability of each bin of rows: {names}.",
                [
                    Line(
                        *_MODELS[model],
                        points=[(part.probability, part.share) for part in curve.calibration],
                        has_dots=True,
                    )
                    for model, curve in curves.items()
                ],
                x=Axis(0, 1, "mean probability"),
                y=Axis(0, 1, "share of yes"),
                is_diagonal_shown=True,
            ),
            head=("", "mean probability", "share of yes", "rows"),
            body=tuple(
                (_MODELS[model][0], _digits(part.probability), _digits(part.share), str(part.rows))
                for model, curve in curves.items()
                for part in curve.calibration
            ),
        ),
    ]
    if "model" in curves:
        scores = curves["model"].scores
        bins = len(scores["yes"])
        names_of_bins = [f"{i / bins:.2f} to {(i + 1) / bins:.2f}" for i in range(bins)]
        figures.append(
            Figure(
                title="Probabilities",
                note="what the model said, by what was true",
                picture=draw_bars(
                    "Probabilities",
                    "Test rows by the model's probability, those that were yes and those that were no.",
                    [("yes", "c-yes", scores["yes"]), ("no", "c-no", scores["no"])],
                    names=names_of_bins,
                    x=Axis(share.low, share.high, "probability of yes"),
                    height=260,
                    y_label="rows",
                ),
                head=("probability", "yes", "no"),
                body=tuple(
                    (name, str(yes), str(no))
                    for name, yes, no in zip(names_of_bins, scores["yes"], scores["no"], strict=True)
                ),
            )
        )
    return figures


def _points(curves: Mapping[str, Sequence[tuple[float, float]]]) -> tuple[tuple[str, ...], ...]:
    return tuple(
        (_MODELS[model][0], _digits(x), _digits(y)) for model, points in curves.items() for x, y in points
    )


def _draw_rows(evidence: RunEvidence) -> Figure | None:
    dataset = evidence.dataset
    if dataset is None:
        return None
    parts = [
        *((split, f"c-{split}", float(dataset.rows.get(split, 0))) for split in SPLITS),
        ("quarantined", "c-bad", float(dataset.rows_quarantined)),
        ("repeated", "c-baseline", float(dataset.rows_deduplicated)),
    ]
    words = ", ".join(f"{name} {format_number(size)}" for name, _, size in parts)
    return Figure(
        title="Every row accounted for",
        picture=draw_shares(
            "Every row accounted for", f"{format_number(dataset.rows_read)} rows read: {words}.", parts
        ),
        head=("", "rows"),
        body=tuple((name, format_number(size)) for name, _, size in parts),
    )


def _count_kinds(checks: Sequence[Check]) -> dict[str, int]:
    """Count checks by what they ask, the part of the name before the column."""
    return dict(Counter(check.name.partition(":")[0] for check in checks))


def _lineage(evidence: RunEvidence) -> list[Fact]:
    """Return what led to what, from the source to the endpoint."""
    chain = []
    if dataset := evidence.dataset:
        chain.append(Fact("source", dataset.source))
    if evidence.project:
        chain.append(Fact("project copy", evidence.project.path.name, evidence.project.project.name))
    if dataset:
        chain.append(Fact("dictionary", dataset.dictionary_fingerprint))
        chain.append(Fact("data", dataset.fingerprint))
    if evidence.pipeline_fingerprint:
        chain.append(Fact("pipeline", evidence.pipeline_fingerprint, evidence.run.pipeline))
    chain.append(Fact("run", evidence.run.run_id))
    if bundle := evidence.bundle:
        service = bundle.feature_service
        chain.append(Fact("feature service", service.name, f"store version {service.store_version}"))
        chain.append(Fact("bundle", bundle.fingerprint, f"{len(bundle.files)} files, each with its checksum"))
    if registered := evidence.registered:
        chain.append(Fact("model version", f"{registered.name} {registered.version}", registered.storage_uri))
    if endpoint := evidence.endpoint:
        chain.append(Fact("endpoint", endpoint.url, f"InferenceService {endpoint.namespace}/{endpoint.name}"))
    return chain


def _digits(value: float) -> str:
    return f"{value:.3f}"
