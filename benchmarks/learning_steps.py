"""The steps from a source to a judged model, one after the other in one process."""

from __future__ import annotations

import contextlib
import os
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from mulgil.artifacts import BundleManifest, Evaluation, FeatureServiceReference, TrainingHistory, Verdict
from mulgil.contract import ColumnType, ProjectFolder
from mulgil.contract.specifications import specify_features
from mulgil.errors import GateRejectedError

_PACKAGES = ("keras", "numpy", "scikit-learn", "tensorflow")


@dataclass(frozen=True)
class LearningSteps:
    """A project's steps, in a folder of their own.

    Attributes:
        folder: The project.
        source: Path or URL of the table; the project's own if empty.
        work_path: Where the steps write to.
    """

    folder: ProjectFolder
    source: str
    work_path: Path

    @property
    def rows_path(self) -> Path:
        """The splits."""
        return self.work_path / "rows"

    @property
    def bundle_path(self) -> Path:
        """The model."""
        return self.work_path / "bundle"

    def train(self) -> tuple[BundleManifest, TrainingHistory]:
        """Ingest the source, and train as the pipeline does."""
        from components.ingest_data.core import ingest_data
        from components.train_model.core import train_model

        ingest_data(
            project_path=self.folder.path,
            source=self.source,
            dataset_path=self.rows_path,
            quarantine_path=self.work_path / "quarantine",
        )
        refer_to_features(self.folder).write(self.work_path / "feature_service.json")
        history_path = self.work_path / "history.json"
        bundle = train_model(
            project_path=self.folder.path,
            training_rows_path=self.rows_path,
            feature_service_path=self.work_path / "feature_service.json",
            bundle_path=self.bundle_path,
            history_path=history_path,
        )
        return bundle, TrainingHistory.read(history_path)

    def judge(self) -> tuple[Evaluation, Verdict]:
        """Judge what was trained, whatever the verdict."""
        from components.evaluate_model.core import evaluate_model

        with contextlib.suppress(GateRejectedError):
            evaluate_model(
                project_path=self.folder.path,
                training_rows_path=self.rows_path,
                bundle_path=self.bundle_path,
                evaluation_path=self.work_path / "evaluation.json",
                verdict_path=self.work_path / "verdict.json",
            )
        return (
            Evaluation.read(self.work_path / "evaluation.json"),
            Verdict.read(self.work_path / "verdict.json"),
        )


def refer_to_features(folder: ProjectFolder) -> FeatureServiceReference:
    """Stand in for the feature step, which hands the same rows on."""
    specification = specify_features(folder.dictionary)
    return FeatureServiceReference(
        name=folder.project.name,
        project=folder.project.name,
        store_version=specification.version,
        online_store="",
        entity=specification.entity,
        features=tuple(c.name for c in folder.dictionary.features if c.type is not ColumnType.IMAGE),
    )


def describe_machine() -> dict[str, object]:
    """Return the versions and the machine that a result is from."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
        "machine": {"platform": platform.platform(), "cores": os.cpu_count()},
    }
