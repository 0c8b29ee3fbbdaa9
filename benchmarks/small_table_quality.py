"""How good is the model on a small table, beside scikit-learn's logistic regression on the same splits?

    python -m benchmarks.small_table_quality --source processed.cleveland.data

The heart disease project is ingested with ten seeds of the split. For each, the components train a model as
the pipeline does, and a scikit-learn pipeline (filled, standardised, one-hot encoded, logistic regression) is
fitted on the same rows, train and validation; both are scored on the same test rows. The differences are
paired. No choice here or in the project looks at a test row.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np

from components.tensorflow_startup import start_tensorflow
from mulgil.artifacts import SPLITS, FeatureServiceReference, write_text
from mulgil.contract import Metric, ProjectFolder
from mulgil.contract.specifications import specify_features, specify_preprocessing
from mulgil.home import SOURCE_ROOT
from mulgil.local.project_snapshot import snapshot_project

RESULTS = Path(__file__).parent / "results" / "small_table_quality.json"
_PACKAGES = ("keras", "numpy", "scikit-learn", "tensorflow")


@dataclass(frozen=True)
class Sample:
    """One split.

    Attributes:
        seed: Of the split.
        test_rows: Rows that both were scored on.
        epochs: That the model was fitted for.
        auc: The model's.
        baseline_auc: Logistic regression's.
    """

    seed: int
    test_rows: int
    epochs: int
    auc: float
    baseline_auc: float

    @property
    def difference(self) -> float:
        """How much better the model is."""
        return self.auc - self.baseline_auc


def measure_split(project_path: Path, source: str, seed: int, work_path: Path) -> Sample:
    """Ingest with one seed, train, and score both models on the test rows."""
    from components.evaluate_model.baselines import predict_linear_model
    from components.evaluate_model.metrics import measure
    from components.evaluate_model.scoring import predict
    from components.ingest_data.core import ingest_data
    from components.train_model.core import train_model
    from mulgil.artifacts import TrainingHistory
    from mulgil.preprocessing.rows import read_rows

    folder = snapshot_project(project_path, {"split.seed": seed}, work_path / "projects")
    rows_path = work_path / "rows"
    ingest_data(
        project_path=folder.path,
        source=source,
        dataset_path=rows_path,
        quarantine_path=work_path / "quarantine",
    )
    _refer_to_features(folder).write(work_path / "feature_service.json")
    bundle = train_model(
        project_path=folder.path,
        training_rows_path=rows_path,
        feature_service_path=work_path / "feature_service.json",
        bundle_path=work_path / "bundle",
        history_path=work_path / "history.json",
    )
    train, validation, test = (read_rows(rows_path, split, folder.dictionary) for split in SPLITS)
    baseline = predict_linear_model(
        folder.project.task, specify_preprocessing(folder.dictionary), train.joined(validation), test
    )
    whole = np.ones((1, len(test)))
    model = predict(work_path / "bundle", bundle, test.tensors, 1)
    auc, baseline_auc = (
        float(measure(Metric.ROC_AUC, test.target, scores, whole)[0]) for scores in (model, baseline)
    )
    epochs = TrainingHistory.read(work_path / "history.json").best_epoch
    return Sample(seed, len(test), epochs, auc, baseline_auc)


def _refer_to_features(folder: ProjectFolder) -> FeatureServiceReference:
    """Stand in for the feature step, which hands the same rows on."""
    specification = specify_features(folder.dictionary)
    return FeatureServiceReference(
        name=folder.project.name,
        project=folder.project.name,
        store_version=specification.version,
        online_store="",
        entity=specification.entity,
        features=tuple(feature.name for feature in specification.features),
    )


def write_results(samples: Sequence[Sample]) -> None:
    """Write versions, machine and every sample."""
    content = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
        "machine": {"platform": platform.platform(), "cores": os.cpu_count()},
        "samples": [asdict(sample) for sample in samples],
    }
    write_text(RESULTS, json.dumps(content, indent=2) + "\n")


def print_results(samples: Sequence[Sample]) -> None:
    """Print a table and the last line."""
    print(f"\n{'seed':>4} {'test rows':>9} {'epochs':>6} {'auc':>7} {'baseline':>8} {'difference':>10}")
    for s in samples:
        print(
            f"{s.seed:>4} {s.test_rows:>9} {s.epochs:>6} {s.auc:>7.4f} {s.baseline_auc:>8.4f} "
            f"{s.difference:>+10.4f}"
        )
    differences = [sample.difference for sample in samples]
    print(
        f"result: mean_auc={np.mean([s.auc for s in samples]):.4f} "
        f"baseline_mean_auc={np.mean([s.baseline_auc for s in samples]):.4f} "
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
