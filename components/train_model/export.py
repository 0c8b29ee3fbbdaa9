"""Writing the model bundle.

The same weights give the same bytes in a new process, so that a bundle's fingerprint says what is in it.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from components.train_model.learners import FittedModel
from mulgil.artifacts import (
    BUNDLE_BACKGROUND,
    BUNDLE_CALIBRATION,
    BUNDLE_CROSS_VALIDATION,
    BUNDLE_DECISION,
    BUNDLE_DICTIONARY,
    BUNDLE_EXAMPLE,
    BUNDLE_MANIFEST,
    BUNDLE_SELECTION,
    BUNDLE_TRANSFORM,
    Background,
    BundleManifest,
    CalibrationMap,
    DecisionRule,
    FeatureSelection,
    FeatureServiceReference,
    HeldOutAnswers,
    WarmUpExample,
    fingerprint_files,
    staged_directory,
    write_text,
)
from mulgil.contract import DataDictionary, ProjectFolder
from mulgil.contract.learning import TASK_FORMS
from mulgil.preprocessing import FittedTransform
from mulgil.preprocessing.rows import TrainingRows

# Enough for a mean within a few hundredths of a standard deviation of the training rows'; each costs an
# explanation a prediction for every column. Chosen by eye.
_BACKGROUND_ROWS = 32


def write_bundle(
    path: Path,
    *,
    folder: ProjectFolder,
    transform: FittedTransform,
    model: FittedModel,
    rows: TrainingRows,
    data_fingerprint: str,
    feature_service: FeatureServiceReference,
    decision: DecisionRule | None = None,
    calibration: CalibrationMap | None = None,
    selection: FeatureSelection | None = None,
    answers: HeldOutAnswers | None = None,
) -> BundleManifest:
    """Write a bundle, whole or not at all.

    Args:
        path: The bundle's directory; what stands there is replaced.
        folder: The project.
        transform: The fitted preprocessing.
        model: The fitted model behind it.
        rows: Rows it was fitted on; the first becomes the warm-up example.
        data_fingerprint: Of the dataset they are from.
        feature_service: What the model reads by entity.
        decision: From which probability on a yes is called, where the project says by what.
        calibration: How the model maps its probabilities, where it does.
        selection: Which features it reads, where they were chosen.
        answers: Of such models on rows held out, where the project asks for folds.

    Returns:
        The bundle's manifest.
    """
    dictionary = folder.dictionary.model_dump(mode="json")
    # The output's name in the model's own files.
    output = TASK_FORMS[folder.project.task].output
    with staged_directory(path) as staged:
        model.write(staged, transform, output)
        transform.write(staged / BUNDLE_TRANSFORM)
        write_text(staged / BUNDLE_DICTIONARY, json.dumps(dictionary, indent=2, ensure_ascii=False) + "\n")
        first = {name: values[:1] for name, values in rows.tensors.items()}
        answer = model.ask(staged, transform, first, output)
        WarmUpExample(instance=rows.instance(0), prediction=answer[0].tolist()).write(staged / BUNDLE_EXAMPLE)
        if decision is not None:
            decision.write(staged / BUNDLE_DECISION)
        if calibration is not None:
            calibration.write(staged / BUNDLE_CALIBRATION)
        if selection is not None:
            selection.write(staged / BUNDLE_SELECTION)
        if answers is not None:
            answers.write(staged / BUNDLE_CROSS_VALIDATION)
        # An image is one column: what it alone has to do with the answer is the whole of it.
        if not any(column.image for column in transform.columns):
            _choose_background(rows, folder.dictionary).write(staged / BUNDLE_BACKGROUND)
        manifest = BundleManifest(
            name=folder.project.name,
            task=folder.project.task,
            output=output,
            data_fingerprint=data_fingerprint,
            dictionary_fingerprint=folder.dictionary.fingerprint,
            feature_service=feature_service,
            files=fingerprint_files(staged),
        )
        manifest.write(staged / BUNDLE_MANIFEST)
    return manifest


def _choose_background(rows: TrainingRows, dictionary: DataDictionary) -> Background:
    """Choose rows evenly, so that the same rows give the same bundle."""
    count = min(len(rows), _BACKGROUND_ROWS)
    instances = [rows.instance(int(place)) for place in np.linspace(0, len(rows) - 1, count).astype(int)]
    random = np.random.default_rng(0)
    for column in dictionary.inputs:
        if column.sensitive:
            values = [instance[column.name] for instance in instances]
            for instance, place in zip(instances, random.permutation(count).tolist(), strict=True):
                instance[column.name] = values[place]
    return Background(instances=tuple(instances))
