"""Training: the epochs are chosen on validation rows, then everything is fitted on train and validation."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from components.train_model import PROJECT_SECTIONS
from components.train_model.calibration import fit_calibration
from components.train_model.capacity import climb, measure_baseline
from components.train_model.checkpoints import Checkpoints
from components.train_model.comparison import choose_simplest, compare_families
from components.train_model.cross_validation import cross_validate, require_few_rows
from components.train_model.devices import settle
from components.train_model.export import write_bundle
from components.train_model.families import make_learner, with_training
from components.train_model.fit_transform import fit_rows
from components.train_model.heads import Head, make_head
from components.train_model.learners import FittedModel, Learner
from components.train_model.learning_curve import trace_curve
from components.train_model.network import NetworkBuilder
from components.train_model.progress import fingerprint_code, open_progress
from components.train_model.selection import select_features
from components.train_model.splits import Splits, choose_examples, open_splits
from components.train_model.stored_examples import ExampleStore
from components.train_model.threshold import choose_threshold
from mulgil.artifacts import (
    BundleManifest,
    CapacityPath,
    DatasetManifest,
    FamilyScore,
    FeatureServiceReference,
    TrainingHistory,
    fingerprint_json,
)
from mulgil.contract import DataDictionary, ProjectFolder, load_project
from mulgil.contract.answers import AnswerForm
from mulgil.contract.learning import Family, Training
from mulgil.contract.specifications import specify_preprocessing
from mulgil.errors import InputError, describe
from mulgil.home import home
from mulgil.preprocessing.rows import RowKey, TrainingRows, read_manifest
from mulgil.preprocessing.stored_rows import StoredRows

# What the split keeps apart, every fold of its rows does.
_FOLD_KEYS = {"group": RowKey.ENTITY, "time": RowKey.MOMENT}
# Rows that threshold and calibration are chosen on, however little memory there is for them.
_LEAST_JUDGED = 1000


def train_model(
    *,
    project_path: Path,
    training_rows_path: Path,
    feature_service_path: Path,
    bundle_path: Path,
    history_path: Path,
) -> BundleManifest:
    """Train a model and write its bundle. The test rows are not read.

    Args:
        project_path: The project folder.
        training_rows_path: Directory with a Parquet file a split, and `manifest.json`.
        feature_service_path: JSON of the feature service that the model reads.
        bundle_path: Directory to write the bundle to.
        history_path: JSON file to write the history of the fit to.

    Returns:
        The bundle's manifest.

    Raises:
        InputError: The rows, the reference or the project do not fit together, or the training diverged.
    """
    folder = load_project(project_path, PROJECT_SECTIONS)
    dictionary = folder.dictionary
    feature_service = FeatureServiceReference.read(feature_service_path)
    _check_features(feature_service, dictionary)
    manifest = read_manifest(training_rows_path)
    _check_dictionary(manifest, dictionary)
    training = settle(folder.project.training)
    folder = with_training(folder, training)
    task = folder.project.task
    key = _FOLD_KEYS.get(folder.project.split.kind)
    splits = open_splits(training_rows_path, dictionary, task, training, key=key)

    started = time.monotonic()
    checkpoints = Checkpoints(open_progress("checkpoints"))
    answer_width = AnswerForm.of(task, dictionary).width
    specification = specify_preprocessing(dictionary)
    candidates: tuple[FamilyScore, ...] = ()
    family = training.family
    folds = folder.project.cross_validation
    is_whole = family is Family.NEURAL_NETWORK and not (training.tuning or training.learning_curve or folds)
    drawn = None if is_whole else _draw(splits)
    if folds is not None and drawn is not None:
        # Now, and not after hours of what comes before it.
        require_few_rows(folds, len(drawn.train) + len(drawn.validation))
    if family is Family.AUTO and drawn is not None:
        candidates = compare_families(
            lambda one: make_learner(one, folder, checkpoints),
            training,
            task,
            answer_width,
            specification,
            drawn.both,
        )
        family = Family(choose_simplest(candidates).family)
    if family is not Family.NEURAL_NETWORK and drawn is not None:
        splits = drawn
        # A network's; those that were compared had it.
        training = training.model_copy(update={"precision": "float32"})
    declared = training.model_copy(update={"family": family})

    def learner_of(tried: Training) -> Learner:
        return make_learner(family, with_training(folder, tried), checkpoints)

    tuned, searched = None, None
    if training.tuning is not None and drawn is not None:
        # Here and not above: its import takes seconds, and no other training needs it.
        from components.train_model.fold_workers import FoldJob, open_workers
        from components.train_model.tuning import CrossValidation, Progress, count_at_once, tune

        searched = Progress(open_progress("tuning"), name_search(training, folder, manifest.fingerprint))
        job = FoldJob(family, folder, checkpoints.place, task, answer_width, specification, drawn.both)
        side_by_side = training.folds * count_at_once(training.tuning)
        with open_workers(job, checkpoints, training.tuning.processes, side_by_side) as workers:
            scoring = CrossValidation(learner_of, task, answer_width, specification, drawn.both, workers)
            tuned = tune(training, scoring, searched)
        training = tuned.training
    learner = learner_of(training)
    specification = specification.adjusted(training.imputation, training.scaling)
    train, validation = splits.train, splits.validation
    with ExampleStore(home() / "examples", training) as store:
        first = fit_rows(specification, train)
        head = make_head(task, answer_width, train, training.class_weights, training.quantile)
        selected = select_features(training, learner, first, head, train)
        if selected is not None:
            first = first.restricted_to(selected.kept)
        if isinstance(train, StoredRows):
            store.require_room(len(train) + len(validation), first, head)
        examples, held_out = (store.encode(first, head, rows) for rows in (train, validation))
        # All of them, but where they are on the disk; from there they are read when they are needed, and not
        # kept in memory while a model is fitted.
        most = max(splits.most_rows, _LEAST_JUDGED)
        baseline = measure_baseline(head, examples.first(most), held_out.first(most))
        ladder = climb(learner_of, declared, head, examples, held_out) if declared.capacity_ladder else None
        traced = None
        if declared.learning_curve is not None and drawn is not None:
            shown_too = training.model_copy(update={"learning_curve": declared.learning_curve})
            traced = trace_curve(learner, shown_too, task, answer_width, specification, drawn.both)
        answers = None
        if folds is not None and drawn is not None:
            answers = cross_validate(learner, training, folds, task, answer_width, specification, drawn.both)
        curve = learner.look(head, examples, held_out)
        decision, calibration = None, None
        first_model: FittedModel | None = None
        is_final = training.final_fit == "train"
        if is_final or folder.project.decision is not None or training.calibration is not None:
            # As the final model is fitted, but on rows that leave some to choose on.
            first_model = learner.fit(head, examples, curve)
            judged = held_out.first(most)
            if training.calibration is not None:
                probability = first_model.predict(judged.numbers)
                calibration = fit_calibration(training.calibration, head, judged.target, probability)
                first_model = first_model.calibrated(calibration)
            if folder.project.decision is not None:
                probability = first_model.predict(judged.numbers)
                decision = choose_threshold(folder.project.decision, judged.target > 0.5, probability)
        store.clear()
        if is_final and first_model is not None:
            transform, model, fitted = first, first_model, train
        else:
            fitted = splits.both
            transform = fit_rows(specification, fitted)
            if selected is not None:
                transform = transform.restricted_to(selected.kept)
            head = make_head(task, answer_width, fitted, training.class_weights, training.quantile)
            model = learner.fit(head, store.encode(transform, head, fitted), curve)
            if calibration is not None:
                model = model.calibrated(calibration)
    history = TrainingHistory(
        family=family,
        candidates=candidates,
        trials=tuned.trials if tuned else (),
        settings=tuned.settings if tuned else {},
        tuning_warning=tuned.warning if tuned else "",
        baseline_loss=baseline,
        ladder=ladder,
        learning_curve=traced,
        class_weights=_name_weights(head, dictionary),
        selection=selected,
        loss=curve.loss,
        val_loss=curve.val_loss,
        best_epoch=curve.best_epoch,
        rows={"train": len(train)} | ({} if is_final else {"validation": len(validation)}),
        fitted_rows=model.fitted_rows,
        parameters=model.parameters,
        seed=training.seed,
        precision=training.precision,
        seconds=time.monotonic() - started,
    )

    bundle = write_bundle(
        bundle_path,
        folder=folder,
        transform=transform,
        model=model,
        rows=choose_examples(fitted),
        data_fingerprint=manifest.fingerprint,
        feature_service=feature_service,
        decision=decision,
        calibration=calibration,
        selection=selected,
        answers=answers,
    )
    history.write(history_path)
    checkpoints.clear()
    if searched is not None:
        searched.forget()
    _print_summary(history, fitted, bundle)
    return bundle


def name_search(training: Training, folder: ProjectFolder, data_fingerprint: str) -> str:
    """Return the name of a search's progress, which only the very same search is to take up.

    Args:
        training: What is declared, and how it is searched.
        folder: The project.
        data_fingerprint: Of the rows.
    """
    # With fewer processes it goes on, which is what a machine with too little memory for them is told.
    shown = {"tuning": {"processes"}, "capacity_ladder": True, "learning_curve": True}
    asked = training.model_dump(mode="json", exclude=shown)
    code = NetworkBuilder(training, None, folder.path).code
    # The same rows are divided into other folds by another kind of split.
    rows = [data_fingerprint, folder.dictionary.fingerprint, folder.project.split.kind]
    return f"{fingerprint_json([asked, rows, code, fingerprint_code()])[:32]}.json"


def _draw(splits: Splits[TrainingRows] | Splits[StoredRows]) -> Splits[TrainingRows]:
    drawn = splits.drawn()
    if len(drawn.both) < len(splits.both):
        print(
            f"{len(drawn.both)} of {len(splits.both)} rows are in memory, drawn by lot: what is compared or "
            "tuned sees no others, nor does a learning curve or a family that is no network "
            "(training.memory_megabytes)"
        )
    return drawn


def _name_weights(head: Head, dictionary: DataDictionary) -> dict[str, float]:
    classes = dictionary.targets[0].categories or ("no", "yes")
    return dict(zip(classes, head.class_weights, strict=True)) if head.class_weights else {}


def _check_dictionary(manifest: DatasetManifest, dictionary: DataDictionary) -> None:
    if manifest.dictionary_fingerprint != dictionary.fingerprint:
        raise InputError(
            describe(
                "The training rows were read by another data dictionary",
                expected=f"dictionary_fingerprint={dictionary.fingerprint[:12]}",
                received=f"dictionary_fingerprint={manifest.dictionary_fingerprint[:12]}",
                next_step="ingest the source again with this project",
            )
        )


def _check_features(feature_service: FeatureServiceReference, dictionary: DataDictionary) -> None:
    features = tuple(column.name for column in dictionary.stored)
    if feature_service.features != features:
        raise InputError(
            describe(
                f"The feature service {feature_service.name} is not this dictionary's",
                expected="features " + ", ".join(features),
                received="features " + ", ".join(feature_service.features),
                next_step="run materialize_features with this project again",
            )
        )


def _print_summary(history: TrainingHistory, rows: TrainingRows | StoredRows, bundle: BundleManifest) -> None:
    for score in history.candidates:
        told = (
            f"loss {score.loss:.4f} ± {score.standard_error:.4f}" if score.loss is not None else score.reason
        )
        chosen = ", taken" if score.family == history.family else ""
        print(f"  {score.family:<22} {told} ({score.seconds:.1f} s){chosen}")
    for trial in history.trials:
        told = f"loss {trial.loss:.4f}" if trial.loss is not None else ""
        taken = ", taken" if trial.settings == history.settings else ""
        print(f"  {trial.name}: {told}{', ' if told and trial.reason else ''}{trial.reason}{taken}")
    if history.tuning_warning:
        print(f"Warning: {history.tuning_warning}")
    if history.ladder is not None:
        _print_ladder(history.ladder)
    if history.learning_curve is not None:
        print(f"Loss by rows, in {history.learning_curve.seconds:.1f} s:")
        for point in history.learning_curve.points:
            print(f"  {point.rows}: {np.mean(point.losses):.4f} ± {np.std(point.losses):.4f}")
        if history.learning_curve.reason:
            print(f"  left out: {history.learning_curve.reason}")
    if history.selection is not None:
        left_out = [one.name for one in history.selection.features if not one.is_kept]
        print(
            f"Features by {history.selection.method}: {len(history.selection.kept)} kept, left out "
            f"{', '.join(left_out) or 'none'}"
        )
    if len(history.loss) > 1:
        print(
            f"Early stopping: epoch {history.best_epoch} of {len(history.loss)} has the least validation "
            f"loss, {history.val_loss[history.best_epoch - 1]:.4f}"
        )
    else:
        print(f"{history.family}: validation loss {history.val_loss[0]:.4f}")
    left_out = f", {rows.left_out} left out for a missing value" if rows.left_out else ""
    of = f"{history.fitted_rows} of " if history.fitted_rows is not None else ""
    print(
        f"Fitted {history.parameters} parameters on {of}{len(rows)} rows of {' and '.join(history.rows)}"
        f"{left_out} in {history.seconds:.1f} s"
    )
    print(f"Bundle {bundle.fingerprint[:12]}: {len(bundle.files)} files")


def _print_ladder(ladder: CapacityPath) -> None:
    seconds = sum(step.seconds for step in ladder.steps)
    print(f"Capacity, without a penalty, in {seconds:.1f} s:")
    for step in ladder.steps:
        told = step.reason
        if step.val_loss:
            least = step.best_epoch - 1
            told = f"loss {step.loss[least]:.4f}, on validation rows {step.val_loss[least]:.4f}"
        print(f"  {step.name}: {told}{', overfits' if step.is_overfitting else ''}")
    if ladder.reason:
        print(f"  ended: {ladder.reason}")
