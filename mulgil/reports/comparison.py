"""What differs between two runs: a pure function of what they left behind."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from mulgil.artifacts import Interval
from mulgil.reports.evidence import RunEvidence
from mulgil.reports.page import format_number, format_seconds

# A value that one of the two lacks.
NOTHING = "–"


@dataclass(frozen=True)
class Row:
    """One thing in both runs.

    Attributes:
        name: What it is.
        a: In the first run.
        b: In the second run.
        note: What to know of the two.
    """

    name: str
    a: str
    b: str
    note: str = ""

    @property
    def is_different(self) -> bool:
        """Whether the runs differ in it."""
        return self.a != self.b


@dataclass(frozen=True)
class Comparison:
    """Two runs side by side.

    Attributes:
        a: The first run.
        b: The second run.
        settings: Parameters, project settings and columns that differ.
        fingerprints: What went in and what came out.
        metrics: The model's, each with its interval.
        is_on_same_rows: Whether both were measured on the same test rows; `None` where it is not known.
        verdicts: Every check that both runs' gates asked, with its answer.
        durations: Each step's.
    """

    a: RunEvidence
    b: RunEvidence
    settings: tuple[Row, ...]
    fingerprints: tuple[Row, ...]
    metrics: tuple[Row, ...]
    is_on_same_rows: bool | None
    verdicts: tuple[Row, ...]
    durations: tuple[Row, ...]


def compare(a: RunEvidence, b: RunEvidence) -> Comparison:
    """Put two runs side by side."""
    same = a.dataset.fingerprint == b.dataset.fingerprint if a.dataset and b.dataset else None
    return Comparison(
        a=a,
        b=b,
        settings=tuple(row for row in _pair(_settings(a), _settings(b)) if row.is_different),
        fingerprints=tuple(_pair(_fingerprints(a), _fingerprints(b))),
        metrics=tuple(_compare_metrics(a, b)),
        is_on_same_rows=same,
        verdicts=tuple(_pair(_answers(a), _answers(b))),
        durations=tuple(_compare_durations(a, b)),
    )


def _pair(a: Mapping[str, str], b: Mapping[str, str]) -> Iterator[Row]:
    for name in dict.fromkeys(itertools.chain(a, b)):
        yield Row(name, a.get(name, NOTHING), b.get(name, NOTHING))


def _settings(evidence: RunEvidence) -> dict[str, str]:
    """Return everything that a user could have set, by a dotted name."""
    settings = {
        f"parameter {name}": str(value)
        for name, value in evidence.run.parameters.items()
        # The copy's path differs wherever a setting does, and says less.
        if name != "project_path"
    }
    if evidence.project:
        settings |= dict(_flatten(evidence.project.project.model_dump(mode="json"), ""))
        for column in evidence.project.dictionary.columns:
            content = column.model_dump(mode="json", exclude={"name"}, exclude_defaults=True)
            settings |= dict(_flatten(content, f"column {column.name}."))
    return settings


def _flatten(value: Any, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            dotted = f"{name}{key}" if not name or name.endswith(".") else f"{name}.{key}"
            yield from _flatten(inner, dotted)
    else:
        yield name, str(value)


def _fingerprints(evidence: RunEvidence) -> dict[str, str]:
    found = {"state": str(evidence.run.state)}
    if dataset := evidence.dataset:
        found |= {
            "source": dataset.source,
            "data": dataset.fingerprint[:12],
            "dictionary": dataset.dictionary_fingerprint[:12],
            "rows read": format_number(dataset.rows_read),
            "rows set aside": format_number(dataset.rows_quarantined + dataset.rows_deduplicated),
        }
    if evidence.pipeline_fingerprint:
        found["pipeline"] = evidence.pipeline_fingerprint[:12]
    if evidence.bundle:
        found["feature store version"] = evidence.bundle.feature_service.store_version
        found["bundle"] = evidence.bundle.fingerprint[:12]
    if evidence.registered:
        found["model version"] = f"{evidence.registered.name} {evidence.registered.version}"
    return found


def _compare_metrics(a: RunEvidence, b: RunEvidence) -> Iterator[Row]:
    of_a, of_b = (run.evaluation.metrics if run.evaluation else {} for run in (a, b))
    for name in dict.fromkeys(itertools.chain(of_a, of_b)):
        first, second = of_a.get(name), of_b.get(name)
        note = f"{second.value - first.value:+.3f}" if first and second else ""
        yield Row(name, _show(first), _show(second), note)


def _show(interval: Interval | None) -> str:
    if interval is None:
        return NOTHING
    return f"{interval.value:.3f} ({interval.low:.3f} to {interval.high:.3f})"


def _answers(evidence: RunEvidence) -> dict[str, str]:
    answers = {}
    for verdict in evidence.verdicts:
        answers[verdict.gate] = "approved" if verdict.is_approved else "rejected"
        for check in verdict.checks:
            # Of the data's many checks, those that failed are told; of the model's, all.
            if verdict is evidence.judgement or not check.is_passed:
                value = f" ({format_number(check.value)})" if check.value is not None else ""
                answers[f"{verdict.gate} {check.name}"] = (
                    f"{'passed' if check.is_passed else 'failed' if check.is_blocking else 'warned'}{value}"
                )
    return answers


def _compare_durations(a: RunEvidence, b: RunEvidence) -> Iterator[Row]:
    of_a, of_b = _seconds(a), _seconds(b)
    for row in _pair(_durations(a), _durations(b)):
        first, second = of_a.get(row.name), of_b.get(row.name)
        note = f"{second - first:+.1f} s" if first is not None and second is not None else ""
        yield replace(row, note=note)


def _durations(evidence: RunEvidence) -> dict[str, str]:
    states = {step.title: str(step.state or "not started") for step in evidence.steps}
    return states | {name: format_seconds(seconds) for name, seconds in _seconds(evidence).items()}


def _seconds(evidence: RunEvidence) -> dict[str, float]:
    times = {step.title: step.seconds for step in evidence.steps if step.has_run}
    if evidence.run.ended_at is not None:
        times["whole run"] = evidence.run.ended_at - evidence.run.started_at
    return times
