"""Evaluation: one look at the test rows, and the gates' decision."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from components.evaluate_model import PROJECT_SECTIONS
from components.evaluate_model.baselines import predict_linear_model, predict_prior
from components.evaluate_model.behavior import check_behavior, probe_behavior
from components.evaluate_model.bootstrap import Replicates
from components.evaluate_model.budgets import check_latency, check_size, measure_latency, weigh_bundle
from components.evaluate_model.bundle_dictionary import read_dictionary
from components.evaluate_model.calibration_error import check_calibration, measure_calibration_error
from components.evaluate_model.calls import read_decision, replicate_calls, scores_for
from components.evaluate_model.champion import ChampionAnswer, ask_champion
from components.evaluate_model.cross_validation import check_cross_validated, read_answers, score_folds
from components.evaluate_model.gates import (
    check_baseline,
    check_champion,
    check_decision,
    check_floor,
    pass_without_champion,
    show_interval,
)
from components.evaluate_model.intervals import find_interval
from components.evaluate_model.metrics import THRESHOLD
from components.evaluate_model.pictures import Pictures, draw_pictures
from components.evaluate_model.scoring import open_model
from components.evaluate_model.slices import check_slices, score_slices
from components.evaluate_model.worst_rows import find_worst_rows
from mulgil.artifacts import (
    SPLITS,
    BundleManifest,
    Check,
    DatasetManifest,
    Evaluation,
    Interval,
    Verdict,
    read_bundle,
)
from mulgil.contract import DataDictionary, Metric, Project, Task, load_project
from mulgil.contract.answers import AnswerForm
from mulgil.contract.learning import CALLED_METRICS, TASK_FORMS
from mulgil.contract.specifications import specify_preprocessing
from mulgil.errors import InputError, describe
from mulgil.preprocessing.rows import TrainingRows, read_manifest
from mulgil.preprocessing.stored_rows import (
    count_numbers,
    count_rows,
    count_rows_in_memory,
    read_some,
)

GATE = "evaluate_model"

# Of the test rows, and of those of train and validation together, with their numbers in float32, drawn by lot
# where there are more. Of so many rows of 20 numbers, a share is known within 0.1 %; what is computed of them
# takes many times the memory.
_MEGABYTES = 64

# Who is measured: the candidate, shares or means, a linear model, and the version that serves now.
MODEL, BASELINE, REFERENCE, CHAMPION = "model", "baseline", "reference", "champion"


def evaluate_model(
    *,
    project_path: Path,
    training_rows_path: Path,
    bundle_path: Path,
    evaluation_path: Path,
    verdict_path: Path,
) -> Verdict:
    """Judge a model bundle on the test rows.

    Args:
        project_path: The project folder; its gates count, the columns are the bundle's.
        training_rows_path: Directory with a Parquet file a split, and `manifest.json`.
        bundle_path: The bundle's directory.
        evaluation_path: JSON file to write the measurements to.
        verdict_path: JSON file to write the verdict to.

    Returns:
        The verdict, approved.

    Raises:
        InputError: The bundle is damaged, or was not trained on these rows or for this task.
        GateRejectedError: A gate said no; evaluation and verdict are written.
    """
    project = load_project(project_path, PROJECT_SECTIONS).project
    bundle = read_bundle(bundle_path)
    _check_same_rows(bundle, read_manifest(training_rows_path))
    _check_same_task(bundle, project)
    dictionary = read_dictionary(bundle_path)
    fitted_on, judged_by = SPLITS[:2], SPLITS[2:]
    train, validation = _read(training_rows_path, fitted_on, dictionary)
    [test] = _read(training_rows_path, judged_by, dictionary)
    fitted = train.joined(validation)

    task = Task(bundle.task)
    form = AnswerForm.of(task, dictionary)
    champion = ask_champion(bundle.name, bundle.fingerprint, dictionary, test)
    ask = open_model(bundle_path, bundle, form.width)
    quantile = project.judged_quantile
    reference, reference_rows = predict_linear_model(
        task, specify_preprocessing(dictionary), fitted, test, quantile
    )
    predicted = {
        MODEL: ask(test.tensors),
        BASELINE: predict_prior(task, fitted, test, quantile),
        REFERENCE: reference,
    }
    if champion.predicted is not None:
        predicted[CHAMPION] = champion.predicted
    decision = read_decision(bundle_path)
    answers = read_answers(bundle_path)
    threshold = decision.threshold if decision else THRESHOLD
    replicates = replicate_calls(
        task, test.target, predicted, TASK_FORMS[task].metrics, threshold, project.gates.pinball_quantile
    )

    pictures = draw_pictures(
        form,
        test.target,
        {model: numbers for model, numbers in predicted.items() if model != BASELINE},
        threshold,
    )
    intervals = {
        model: {
            metric.value: find_interval(
                measured,
                task,
                metric,
                test.target,
                scores_for(metric, predicted, threshold)[model],
                project.gates.confidence,
                project.gates.pinball_quantile,
            )
            for metric, measured in of_model.items()
        }
        for model, of_model in replicates.items()
    }
    evaluation = _evaluate(bundle, champion, len(test), replicates, intervals, pictures, project)
    evaluation = evaluation.model_copy(
        update={
            "slices": score_slices(
                task,
                project.primary_metric,
                dictionary,
                test,
                scores_for(project.primary_metric, predicted, threshold)[MODEL],
                project.gates.confidence,
                project.gates.pinball_quantile,
            ),
            "quantile": quantile,
            "reference_rows": reference_rows if reference_rows < len(fitted) else None,
            "decision": decision,
            "calibration_error": measure_calibration_error(task, test.target, predicted[MODEL]),
            "worst_rows": find_worst_rows(form, dictionary, test, predicted[MODEL]),
            "behaviors": tuple(
                probe_behavior(asked, dictionary, form, test, predicted[MODEL], ask)
                for asked in project.gates.behaviors
            ),
            # No two measurements are alike; one that nobody asked for would make all after it new.
            "latency": measure_latency(bundle_path, test, form.width)
            if project.gates.latency_milliseconds is not None
            else None,
            "bundle_bytes": weigh_bundle(bundle_path, bundle),
            # What is called goes by a threshold that was chosen on rows of the folds.
            "cross_validation": score_folds(
                task,
                answers,
                [m for m in TASK_FORMS[task].metrics if decision is None or m not in CALLED_METRICS],
                project.gates.confidence,
                project.gates.pinball_quantile,
            )
            if answers
            else None,
        }
    )
    verdict = Verdict.of(GATE, bundle.fingerprint, _check(evaluation, champion, project))
    evaluation.write(evaluation_path)
    verdict.write(verdict_path)
    _print_summary(evaluation, verdict)
    verdict.require_approval()
    return verdict


def _read(training_rows_path: Path, splits: Sequence[str], dictionary: DataDictionary) -> list[TrainingRows]:
    """Read splits, of which all together are no more than there may be, each with its share of that."""
    most_rows = count_rows_in_memory(count_numbers(dictionary), _MEGABYTES)
    share = most_rows / max(1, sum(count_rows(training_rows_path, split) for split in splits))
    found = []
    for split in splits:
        most_of_split = max(1, int(share * count_rows(training_rows_path, split)))
        rows, of = read_some(training_rows_path, split, dictionary, most_of_split)
        if len(rows) < of:
            print(f"{len(rows)} of {of} rows of {split} are looked at, drawn by lot")
        found.append(rows)
    return found


def _evaluate(
    bundle: BundleManifest,
    champion: ChampionAnswer,
    rows: int,
    replicates: dict[str, dict[Metric, Replicates]],
    intervals: dict[str, dict[str, Interval]],
    pictures: Pictures,
    project: Project,
) -> Evaluation:
    gates, primary = project.gates, project.primary_metric
    improvements = {
        model: replicates[MODEL][primary].better_than(measured[primary], primary).interval(gates.confidence)
        for model, measured in replicates.items()
        if model != MODEL
    }
    return Evaluation(
        bundle_fingerprint=bundle.fingerprint,
        task=bundle.task,
        rows=rows,
        metrics=intervals[MODEL],
        baseline=intervals[BASELINE],
        reference=intervals[REFERENCE],
        champion=intervals.get(CHAMPION, {}),
        improvements=improvements,
        primary_metric=primary,
        curves=pictures.curves,
        confusions=pictures.confusions,
        fits=pictures.fits,
        champion_fingerprint=champion.fingerprint,
    )


def _check(evaluation: Evaluation, champion: ChampionAnswer, project: Project) -> list[Check]:
    gates, primary = project.gates, project.primary_metric
    checks = [check_floor(m, evaluation.metrics[m], floor) for m, floor in gates.floors.items()]
    checks += [
        check_cross_validated(m, evaluation.cross_validation, floor)
        for m, floor in gates.cross_validated_floors.items()
    ]
    checks.append(check_baseline(primary, evaluation.improvements[BASELINE], gates.baseline_margin))
    if CHAMPION in evaluation.improvements:
        improvement = evaluation.improvements[CHAMPION]
        checks.append(check_champion(primary, improvement, gates.champion_margin, str(champion.version)))
    else:
        checks.append(pass_without_champion(champion.reason))
    if evaluation.decision is not None:
        checks.append(check_decision(evaluation.decision))
    if gates.calibration_error is not None:
        checks.append(check_calibration(evaluation.calibration_error, gates.calibration_error))
    if gates.slice_margin is not None:
        whole = evaluation.metrics[primary].value
        checks.append(check_slices(primary, whole, evaluation.slices, gates.slice_margin))
    checks += [check_behavior(place, finding) for place, finding in enumerate(evaluation.behaviors)]
    if gates.latency_milliseconds is not None and evaluation.latency is not None:
        checks.append(check_latency(evaluation.latency, gates.latency_milliseconds))
    if gates.bundle_megabytes is not None and evaluation.bundle_bytes is not None:
        checks.append(check_size(evaluation.bundle_bytes, gates.bundle_megabytes))
    return checks


def _check_same_rows(bundle: BundleManifest, manifest: DatasetManifest) -> None:
    # Of another split, some test rows would be rows that the model was fitted on.
    if bundle.data_fingerprint != manifest.fingerprint:
        raise InputError(
            describe(
                "The model bundle was not trained on these rows",
                expected=f"data_fingerprint={bundle.data_fingerprint[:12]}",
                received=f"data_fingerprint={manifest.fingerprint[:12]}",
                next_step="judge a bundle on the test rows of the split that it was trained on",
            )
        )


def _check_same_task(bundle: BundleManifest, project: Project) -> None:
    if bundle.task != project.task:
        raise InputError(
            describe(
                "The model bundle was trained for another task than the project's gates are of",
                expected=f"task={project.task}",
                received=f"task={bundle.task}",
                next_step="train again",
            )
        )


def _print_summary(evaluation: Evaluation, verdict: Verdict) -> None:
    print(f"{evaluation.rows} test rows; {evaluation.primary_metric}:")
    if evaluation.reference_rows is not None:
        print(
            f"  the reference is fitted on {evaluation.reference_rows} of the rows, as it is a linear program"
        )
    measured = {MODEL: evaluation.metrics, BASELINE: evaluation.baseline, REFERENCE: evaluation.reference}
    if evaluation.champion:
        measured[CHAMPION] = evaluation.champion
    for model, metrics in measured.items():
        print(f"  {model:<10} {show_interval(metrics[evaluation.primary_metric])}")
    for check in verdict.checks:
        print(f"{'passed' if check.is_passed else 'FAILED'} {check.name}: {check.reason}")
