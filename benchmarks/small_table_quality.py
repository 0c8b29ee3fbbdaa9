"""How good is the model on a small table, beside scikit-learn's linear model on the same splits?

    python -m benchmarks.small_table_quality --source processed.cleveland.data

The project, the heart disease one if none is named, is ingested with ten seeds of the split. For each, the
components train a model as the pipeline does, and a scikit-learn pipeline (filled, standardised, one-hot
encoded, logistic or ridge regression) is fitted on the same rows, train and validation; both are scored on
the same test rows. The differences are paired. No choice here or in the project looks at a test row.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.learning_steps import LearningSteps, describe_machine
from components.tensorflow_startup import start_tensorflow
from mulgil.artifacts import SPLITS, write_text
from mulgil.contract.specifications import specify_preprocessing
from mulgil.home import SOURCE_ROOT
from mulgil.local.project_snapshot import snapshot_project

RESULTS = Path(__file__).parent / "results" / "small_table_quality.json"


@dataclass(frozen=True)
class Sample:
    """One split.

    Attributes:
        seed: Of the split.
        metric: That the project's comparisons use, better high.
        test_rows: Rows that both were scored on.
        epochs: That the model was fitted for.
        value: The model's.
        other: The linear model's.
    """

    seed: int
    metric: str
    test_rows: int
    epochs: int
    value: float
    other: float

    @property
    def difference(self) -> float:
        """How much better the model is."""
        return self.value - self.other


def measure_split(project_path: Path, source: str, seed: int, work_path: Path) -> Sample:
    """Ingest with one seed, train, and score both models on the test rows."""
    from components.evaluate_model.baselines import predict_linear_model
    from components.evaluate_model.scoring import open_model
    from components.evaluate_model.task_metrics import measure_task
    from components.evaluate_model.weightings import Weightings
    from mulgil.contract.answers import AnswerForm
    from mulgil.preprocessing.rows import read_rows

    folder = snapshot_project(project_path, {"split.seed": seed}, work_path / "projects")
    steps = LearningSteps(folder, source, work_path)
    bundle, history = steps.train()
    train, validation, test = (read_rows(steps.rows_path, split, folder.dictionary) for split in SPLITS)
    baseline, _ = predict_linear_model(
        folder.project.task, specify_preprocessing(folder.dictionary), train.joined(validation), test
    )
    whole = Weightings.equal(len(test))
    width = AnswerForm.of(folder.project.task, folder.dictionary).width
    model = open_model(steps.bundle_path, bundle, width)(test.tensors)
    task, metric = folder.project.task, folder.project.primary_metric
    quantile = folder.project.gates.pinball_quantile
    value, other = (
        float(measure_task(task, metric, test.target, scores, whole, quantile=quantile)[0])
        for scores in (model, baseline)
    )
    return Sample(seed, metric, len(test), history.best_epoch, value, other)


def write_results(samples: Sequence[Sample]) -> None:
    """Write versions, machine and every sample."""
    content = {**describe_machine(), "samples": [asdict(sample) for sample in samples]}
    write_text(RESULTS, json.dumps(content, indent=2) + "\n")


def print_results(samples: Sequence[Sample]) -> None:
    """Print a table and the last line."""
    print(f"\n{'seed':>4} {'test rows':>9} {'epochs':>6} {'model':>7} {'linear':>8} {'difference':>10}")
    for s in samples:
        print(
            f"{s.seed:>4} {s.test_rows:>9} {s.epochs:>6} {s.value:>7.4f} {s.other:>8.4f} "
            f"{s.difference:>+10.4f}"
        )
    differences = [sample.difference for sample in samples]
    print(
        f"result: metric={samples[0].metric} mean={np.mean([s.value for s in samples]):.4f} "
        f"linear_mean={np.mean([s.other for s in samples]):.4f} "
        f"mean_difference={np.mean(differences):+.4f} worst_difference={min(differences):+.4f}"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.small_table_quality",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--source", default="", help="Path or URL of the table; the project's own if left out."
    )
    parser.add_argument("--seeds", type=int, default=10, help="How many splits, seeded from 0.")
    parser.add_argument(
        "--project-path",
        type=Path,
        default=SOURCE_ROOT / "projects" / "heart_disease",
        help="The project folder.",
    )
    arguments = parser.parse_args(argv)
    start_tensorflow()
    samples = []
    for seed in range(arguments.seeds):
        print(f"split {seed + 1} of {arguments.seeds}", flush=True)
        # The components' own summaries would bury the table.
        with tempfile.TemporaryDirectory() as work, contextlib.redirect_stdout(None):
            samples.append(measure_split(arguments.project_path, arguments.source, seed, Path(work)))
    write_results(samples)
    print_results(samples)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
