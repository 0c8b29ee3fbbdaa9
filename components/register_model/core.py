"""Registration: the gate's approval first, then a model version with its lineage."""

from __future__ import annotations

import json
from pathlib import Path

from components.register_model import PROJECT_SECTIONS
from mulgil import registry
from mulgil.artifacts import (
    EVALUATION,
    VERDICT,
    BundleManifest,
    Evaluation,
    RegisteredModel,
    TrainingHistory,
    TuningTrial,
    read_bundle,
    require_approval,
)
from mulgil.contract import load_project
from mulgil.contract.learning import Training
from mulgil.errors import InputError, describe


def register_model(
    *,
    project_path: Path,
    bundle_path: Path,
    history_path: Path,
    evaluation_path: Path,
    evaluation_verdict_path: Path,
    run_id: str,
    registered_model_path: Path,
) -> RegisteredModel:
    """Register a bundle that `evaluate_model` approved, as the candidate.

    The same bundle registers once: again, it gives the version that there is.

    Args:
        project_path: The project folder.
        bundle_path: The bundle's directory.
        history_path: JSON of the history of its fit.
        evaluation_path: JSON of what `evaluate_model` measured.
        evaluation_verdict_path: JSON of its verdict.
        run_id: The pipeline run that made the bundle.
        registered_model_path: JSON file to write the version to.

    Returns:
        The version.

    Raises:
        InputError: The bundle is damaged, or the evaluation is of another bundle.
        GateRejectedError: There is no approval of this bundle.
    """
    project = load_project(project_path, PROJECT_SECTIONS).project
    bundle = read_bundle(bundle_path)
    require_approval(evaluation_verdict_path, gate="evaluate_model", subject=bundle.fingerprint)
    evaluation = Evaluation.read(evaluation_path)
    if evaluation.bundle_fingerprint != bundle.fingerprint:
        raise InputError(
            describe(
                f"{evaluation_path} is about another bundle",
                expected=f"bundle_fingerprint={bundle.fingerprint[:12]}",
                received=f"bundle_fingerprint={evaluation.bundle_fingerprint[:12]}",
            )
        )
    history = TrainingHistory.read(history_path)
    registered = registry.register(
        registry.Registration(
            name=bundle.name,
            bundle_path=bundle_path,
            bundle_fingerprint=bundle.fingerprint,
            parameters=_parameters(project.training, history),
            metrics=_metrics(evaluation),
            curves={"loss": history.loss, "val_loss": history.val_loss},
            tags=_lineage(bundle, run_id),
            evidence={EVALUATION: evaluation_path, VERDICT: evaluation_verdict_path},
            trials=[_trial(place, trial) for place, trial in enumerate(history.trials, 1)],
        )
    )
    registered.write(registered_model_path)
    print(f"{registered.name} version {registered.version}, alias {registry.CANDIDATE}")
    print(f"Bundle at {registered.storage_uri}")
    return registered


def _parameters(training: Training, history: TrainingHistory) -> dict[str, str]:
    declared = {name: json.dumps(value) for name, value in training.model_dump(mode="json").items()}
    # As it was, where a seed was drawn or there was no GPU for the precision.
    seed = training.seed if history.seed is None else history.seed
    used = {"seed": json.dumps(seed), "precision": json.dumps(history.precision)}
    rows = {f"rows_{split}": str(count) for split, count in history.rows.items()}
    # What was searched among is in `tuning`; this is what was taken.
    taken = {f"tuned_{name}": json.dumps(value) for name, value in history.settings.items()}
    return {
        **declared,
        **used,
        **taken,
        **rows,
        "epochs": str(history.best_epoch),
        "parameters": str(history.parameters),
    }


def _trial(place: int, trial: TuningTrial) -> registry.Trial:
    return registry.Trial(
        name=f"trial-{place:04d}",
        parameters={name: json.dumps(value) for name, value in trial.settings.items()},
        metrics={} if trial.loss is None else {"loss": trial.loss},
        curves={"fold_loss": trial.losses},
        tags={"mulgil.settings": trial.name, **({"mulgil.ended": trial.reason} if trial.reason else {})},
        seconds=trial.seconds,
    )


def _metrics(evaluation: Evaluation) -> dict[str, float]:
    metrics: dict[str, float] = {}
    for name, interval in evaluation.metrics.items():
        metrics |= {f"test_{name}": interval.value, f"test_{name}_low": interval.low}
        metrics |= {f"test_{name}_high": interval.high}
    for who in ("baseline", "reference", "champion"):
        metrics |= {f"{who}_{name}": interval.value for name, interval in getattr(evaluation, who).items()}
    return metrics


def _lineage(bundle: BundleManifest, run_id: str) -> dict[str, str]:
    return {
        "mulgil.run_id": run_id,
        "mulgil.data_fingerprint": bundle.data_fingerprint,
        "mulgil.dictionary_fingerprint": bundle.dictionary_fingerprint,
        "mulgil.feature_service": bundle.feature_service.name,
        "mulgil.store_version": bundle.feature_service.store_version,
    }
