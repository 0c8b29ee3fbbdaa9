"""Runs as they lie on the disk, built from records: no step has to run for a page of them."""

import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

from mulgil.artifacts import (
    BUNDLE_MANIFEST,
    NEWEST_SPAN,
    BundleManifest,
    CalibrationBin,
    CapacityPath,
    CapacityStep,
    Check,
    ColumnDistribution,
    Confusion,
    DatasetManifest,
    DistributionSummary,
    Endpoint,
    Evaluation,
    FeatureSelection,
    FeatureServiceReference,
    Interval,
    LearningCurve,
    LearningCurvePoint,
    QuarantineReason,
    QuarantineSummary,
    RegisteredModel,
    RolloutReference,
    ScoreCurves,
    SpanComparison,
    SpanNews,
    TrainingHistory,
    Verdict,
    write_text,
)
from mulgil.home import SOURCE_ROOT
from mulgil.local.launch import folder_of, open_run_store
from mulgil.local.run_store import RunRecord, State, TaskRecord

HEART = SOURCE_ROOT / "projects" / "heart_disease"
PIPELINE = SOURCE_ROOT / "tests" / "golden" / "training.yaml"

STEPS = (
    "ingest-data",
    "validate-data",
    "materialize-features",
    "train-model",
    "evaluate-model",
    "register-model",
    "condition-1/deploy-model",
    "condition-1/roll-out-model",
)
STARTED_AT = 1_750_000_000.0


def interval(value: float) -> Interval:
    return Interval(value=value, low=value - 0.05, high=value + 0.04, confidence=0.95)


def metrics(value: float) -> dict[str, Interval]:
    names = ("roc_auc", "pr_auc", "accuracy", "precision", "recall", "f1", "log_loss", "brier")
    return {name: interval(value) for name in names}


CURVES = ScoreCurves(
    roc=((0, 0), (0, 0.6), (0.3, 0.9), (1, 1)),
    precision_recall=((0, 1), (0.6, 0.9), (1, 0.45)),
    calibration=(CalibrationBin(probability=0.1, share=0.05, rows=30),),
    confusion=Confusion(
        threshold=0.5, true_positives=22, false_positives=4, false_negatives=6, true_negatives=29
    ),
    scores={"no": (30, 3), "yes": (6, 22)},
)

EVALUATION = Evaluation(
    bundle_fingerprint="b" * 64,
    rows=61,
    metrics=metrics(0.91),
    baseline=metrics(0.5),
    reference=metrics(0.9),
    champion=metrics(0.89),
    improvements={"baseline": interval(0.41), "reference": interval(0.01), "champion": interval(0.02)},
    primary_metric="roc_auc",
    curves={"model": CURVES, "reference": CURVES, "champion": CURVES},
)

DISTRIBUTIONS = DistributionSummary(
    columns={
        "age": ColumnDistribution(
            edges=(28.5, 48.5, 68.5, 88.5),
            rows={split: {"no": (9, 7, 2), "yes": (3, 8, 1)} for split in ("train", "validation", "test")},
            missing={"train": 1, "validation": 0, "test": 0},
            quartiles=(29, 44, 56, 61, 77),
            cell_edges=(28.999999999999996, 44, 77),
            cells={"train": (0, 20, 10, 0), "validation": (1, 20, 9, 0), "test": (0, 20, 10, 0)},
        ),
        "sex": ColumnDistribution(
            categories=("0", "1"),
            rows={split: {"no": (9, 9), "yes": (3, 9)} for split in ("train", "validation", "test")},
            missing={"train": 0, "validation": 0, "test": 0},
        ),
    }
)


def verdict(gate: str, *checks: Check) -> Verdict:
    return Verdict.of(gate, "b" * 64, list(checks) or [Check(name="floor", is_passed=True, reason="It is.")])


DATASET = DatasetManifest(
    fingerprint="d" * 64,
    dictionary_fingerprint="c" * 64,
    source="rows.csv",
    rows_read=310,
    rows={"train": 181, "validation": 61, "test": 61},
    rows_quarantined=5,
    rows_deduplicated=2,
)
QUARANTINE = QuarantineSummary(
    reasons=(QuarantineReason(column="age", expected="a number", received="'old'", rows=5),)
)
VALIDATION = verdict("validate_data")
JUDGEMENT = verdict(
    "evaluate_model",
    Check(name="roc_auc_floor", is_passed=True, value=0.91, limit=0.75, reason="roc_auc is 0.91"),
)

HISTORY = TrainingHistory(
    baseline_loss=(0.69, 0.7),
    ladder=CapacityPath(
        steps=(
            CapacityStep(
                settings={"hidden_units": []},
                parameters=21,
                loss=(0.7, 0.6),
                val_loss=(0.68, 0.6),
                seconds=1.0,
            ),
            CapacityStep(
                settings={"hidden_units": [64, 16]},
                parameters=2417,
                loss=(0.6, 0.3, 0.2, 0.1, 0.05),
                val_loss=(0.6, 0.5, 0.6, 0.8, 0.9),
                is_overfitting=True,
                seconds=2.5,
            ),
        )
    ),
    learning_curve=LearningCurve(
        points=(
            LearningCurvePoint(rows=48, losses=(0.6, 0.7, 0.65), training_losses=(0.1, 0.1, 0.1)),
            LearningCurvePoint(rows=193, losses=(0.4, 0.5, 0.46), training_losses=(0.3, 0.3, 0.3)),
        ),
        seconds=4.0,
        reason="0.1 of the rows: too few rows, or of a class",
    ),
    class_weights={"no": 0.8, "yes": 1.25},
    loss=(0.7, 0.5, 0.4),
    val_loss=(0.6, 0.45, 0.5),
    best_epoch=2,
    rows={"train": 181, "validation": 61},
    parameters=417,
    seconds=1.5,
)


@dataclass(frozen=True)
class Made:
    """What the steps of a run handed over; change one to see what becomes of it."""

    run_id: str = "training-heart-disease-1"
    project: Path = HEART
    parameters: dict[str, object] = field(default_factory=dict)
    dataset: DatasetManifest = DATASET
    quarantine: QuarantineSummary = QUARANTINE
    distributions: DistributionSummary = DISTRIBUTIONS
    span_news: SpanNews | None = None
    newest_span: SpanComparison | None = None
    validation: Verdict = VALIDATION
    history: TrainingHistory = HISTORY
    evaluation: Evaluation = EVALUATION
    judgement: Verdict = JUDGEMENT
    selection: FeatureSelection | None = None
    storage_uri: str = "file:///store/heart/bundle"
    # The step that fails, with its exit code and what it wrote; the ones after it are blocked.
    failed: tuple[str, int, str] | None = None

    def write(self) -> RunRecord:
        """Write the run under Mulgil's home, and return its record."""
        folder, store = folder_of(self.run_id), open_run_store()
        folder.mkdir(parents=True)
        shutil.copy(PIPELINE, folder / "pipeline.yaml")
        run = RunRecord(
            self.run_id,
            "training",
            "heart-disease",
            State.FAILED if self.failed else State.SUCCEEDED,
            {"project_path": str(self.project), **self.parameters},
            STARTED_AT,
            STARTED_AT + 30,
        )
        store.write_run(run)
        state = State.SUCCEEDED
        for i, path in enumerate(STEPS):
            at = STARTED_AT + i
            record = TaskRecord(self.run_id, path, state, at, at + 1, 0)
            if self.failed and path == self.failed[0]:
                state = State.BLOCKED
                record = replace(record, state=State.FAILED, exit_code=self.failed[1])
                write_text(folder / "tasks" / path / "log.txt", self.failed[2])
                self._hand_over(path, folder / "tasks" / path / "artifacts")
            elif state is State.SUCCEEDED:
                write_text(folder / "tasks" / path / "log.txt", f"{path} is done\n")
                self._hand_over(path, folder / "tasks" / path / "artifacts")
            store.write_task(record)
        return run

    def _hand_over(self, path: str, artifacts: Path) -> None:
        name = path.rpartition("/")[2]
        if name == "ingest-data" and not (self.failed and self.failed[0] == name):
            self.dataset.write(artifacts / "dataset" / "manifest.json")
            self.quarantine.write(artifacts / "quarantine" / "summary.json")
            if self.span_news is not None:
                self.span_news.write(artifacts / "quarantine" / SpanNews.FILE)
        elif name == "validate-data":
            self.distributions.write(artifacts / "statistics" / "summary.json")
            if self.newest_span is not None:
                self.newest_span.write(artifacts / "statistics" / NEWEST_SPAN)
            self.validation.write(artifacts / "verdict")
        elif name == "train-model":
            self.history.model_copy(update={"selection": self.selection}).write(artifacts / "history")
            BUNDLE.write(artifacts / "bundle" / BUNDLE_MANIFEST)
        elif name == "evaluate-model":
            self.evaluation.write(artifacts / "evaluation")
            self.judgement.write(artifacts / "verdict")
        elif name == "register-model":
            self.registered.write(artifacts / "registered_model")
        elif name == "deploy-model":
            write_text(artifacts / "manifest", "kind: InferenceService\n")
            Endpoint(
                name="heart-disease",
                namespace="default",
                url="http://127.0.0.1:8080/serving/default/heart-disease",
                model_version="3",
                example={"age": 63, "sex": "1"},
                prediction=0.2,
            ).write(artifacts / "endpoint")
        elif name == "roll-out-model":
            RolloutReference(
                rollout_id=None, is_over=True, is_promoted=True, reason="Version 3 has all the traffic."
            ).write(artifacts / "rollout")

    @property
    def registered(self) -> RegisteredModel:
        return RegisteredModel(
            name="heart-disease", version="3", storage_uri=self.storage_uri, bundle_fingerprint="b" * 64
        )


BUNDLE = BundleManifest(
    name="heart-disease",
    task="binary_classification",
    output="probability",
    data_fingerprint="d" * 64,
    dictionary_fingerprint="c" * 64,
    feature_service=FeatureServiceReference(
        name="heart_disease_1",
        project="mulgil",
        store_version="5a0e",
        online_store="online_store.db",
        entity="patient_id",
        features=("age", "sex"),
    ),
    files={"model.tflite": "0" * 64},
)
