"""How good are the shipped projects' models, beside a plain scikit-learn pipeline on the same splits?

    python -m benchmarks.project_quality --heart-source processed.cleveland.data

Each project is ingested, trained and judged as the pipeline does it, and its verdict is told. The other is
scikit-learn's logistic or ridge regression behind its own filling, scaling and one-hot encoding, fitted on
the same rows of train and validation and scored on the same test rows; the difference is paired (bootstrap,
95 %). No choice here or in a project looks at a test row.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.learning_steps import LearningSteps, describe_machine
from components.tensorflow_startup import start_tensorflow
from mulgil.artifacts import Interval, write_text
from mulgil.home import SOURCE_ROOT
from mulgil.local.project_snapshot import snapshot_project

RESULTS = Path(__file__).parent / "results" / "project_quality.json"
PROJECTS = ("breast_cancer", "heart_disease", "wine", "diabetes", "pump_faults", "digits", "sign_language")


@dataclass(frozen=True)
class Sample:
    """One project.

    Attributes:
        project: Its folder's name.
        metric: That its comparisons use.
        rows: Test rows.
        model: The metric.
        other: scikit-learn's.
        improvement: How much better the model is.
        is_approved: Whether every gate said yes.
        reasons: Of those that said no.
    """

    project: str
    metric: str
    rows: int
    model: Interval
    other: Interval
    improvement: Interval
    is_approved: bool
    reasons: tuple[str, ...]


def measure_project(name: str, source: str, work_path: Path) -> Sample:
    """Train and judge a project's model."""
    folder = snapshot_project(SOURCE_ROOT / "projects" / name, {}, work_path / "projects")
    steps = LearningSteps(folder, source, work_path)
    steps.train()
    evaluation, verdict = steps.judge()
    metric = evaluation.primary_metric
    return Sample(
        project=name,
        metric=metric,
        rows=evaluation.rows,
        model=evaluation.metrics[metric],
        other=evaluation.reference[metric],
        improvement=evaluation.improvements["reference"],
        is_approved=verdict.is_approved,
        reasons=verdict.reasons,
    )


def write_results(samples: Sequence[Sample]) -> None:
    """Write versions, machine and every sample."""
    told = [
        {key: v.model_dump() if isinstance(v, Interval) else v for key, v in asdict(sample).items()}
        for sample in samples
    ]
    write_text(RESULTS, json.dumps({**describe_machine(), "samples": told}, indent=2) + "\n")


def print_results(samples: Sequence[Sample]) -> None:
    """Print a table and the last line."""

    def show(interval: Interval, sign: str = "") -> str:
        return f"{interval.value:{sign}.3f} ({interval.low:{sign}.3f} to {interval.high:{sign}.3f})"

    head = f"{'project':<15}{'metric':<10}{'rows':>5}  {'Mulgil':<25}{'scikit-learn':<25}{'difference':<28}"
    print(f"\n{head}gates")
    for s in samples:
        gates = "approved" if s.is_approved else "; ".join(s.reasons)
        print(
            f"{s.project:<15}{s.metric:<10}{s.rows:>5}  {show(s.model):<25}{show(s.other):<25}"
            f"{show(s.improvement, '+'):<28}{gates}"
        )
    print(
        f"result: projects={len(samples)} approved={sum(s.is_approved for s in samples)} "
        f"surely_below={sum(s.improvement.high < 0 for s in samples)} "
        f"surely_above={sum(s.improvement.low > 0 for s in samples)}"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.project_quality",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--projects", nargs="+", choices=PROJECTS, default=PROJECTS, help="Folders of `projects/`."
    )
    parser.add_argument("--heart-source", default="", help="The heart table, in place of its URL.")
    parser.add_argument("--sign-language-source", default="", help="The sign language table, likewise.")
    arguments = parser.parse_args(argv)
    sources = {
        "heart_disease": arguments.heart_source,
        "sign_language": arguments.sign_language_source,
    }
    start_tensorflow()
    samples = []
    for name in arguments.projects:
        print(name, flush=True)
        # The components' own summaries would bury the table; and no champion of this machine's is asked.
        with tempfile.TemporaryDirectory() as work, contextlib.redirect_stdout(None):
            os.environ["MULGIL_HOME"] = work
            os.environ.pop("MLFLOW_TRACKING_URI", None)
            samples.append(measure_project(name, sources.get(name, ""), Path(work)))
    write_results(samples)
    print_results(samples)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
