"""A family fitted on a task's project, exported, and held against what it was."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import tensorflow as tf
from learning_project import LearningProject

from components.train_model.calibration import fit_calibration
from components.train_model.checkpoints import Checkpoints
from components.train_model.core import make_learner
from components.train_model.export import write_bundle
from components.train_model.fit_transform import fit_transform
from components.train_model.graph_preprocessing import encode
from components.train_model.heads import make_head
from components.train_model.learners import Curve, Examples
from components.train_model.progress import LocalProgress
from mulgil.artifacts import FeatureImportance, FeatureSelection, FeatureServiceReference
from mulgil.contract.answers import AnswerForm, differ
from mulgil.contract.learning import TASK_FORMS, Family
from mulgil.contract.specifications import specify_preprocessing
from mulgil.preprocessing import FittedTransform, TransformExecutor
from mulgil.preprocessing.rows import read_rows
from mulgil.serving.model import TOLERANCE, ServedModel

FAMILIES = [family for family in Family if family is not Family.AUTO]
# As many as a network needs to tell rows apart.
_EPOCHS = 12
_SMALL = {Family.RANDOM_FOREST: {"n_estimators": 20}, Family.GRADIENT_BOOSTING: {"n_estimators": 20}}


def check_served_as_fitted(
    project: LearningProject,
    family: Family,
    bundle_path: Path,
    calibration: str | None = None,
    *,
    quantile: float | None = None,
    is_selected: bool = False,
    is_explained: bool = True,
) -> ServedModel:
    """Fit and export a family; what is served must answer as it, and explain what it answers.

    Args:
        project: Its rows.
        family: Which.
        bundle_path: Where the bundle is written to.
        calibration: How probabilities are mapped, if at all.
        quantile: What is fitted to, if not the mean.
        is_selected: Whether the model reads every other feature only.
        is_explained: Whether explanations are held against it too.
    """
    folder = project.folder
    dictionary, task = folder.dictionary, folder.project.task
    settings = {
        "family": family,
        "hyperparameters": _SMALL.get(family, {}),
        "hidden_units": (4,),
        "quantile": quantile,
    }
    training = folder.project.training.model_validate(settings)
    folder = replace(folder, project=folder.project.model_copy(update={"training": training}))
    rows, others = (read_rows(project.rows_path, split, dictionary) for split in ("train", "test"))
    transform = fit_transform(specify_preprocessing(dictionary), rows.tensors)
    selection = None
    if is_selected:
        selection = _keep_every_other(transform)
        transform = transform.restricted_to(selection.kept)
    head = make_head(task, AnswerForm.of(task, dictionary).width, rows, quantile=quantile)
    executor = TransformExecutor(transform)
    examples = Examples(executor.apply(rows.tensors), head.encode(rows))
    model = make_learner(family, folder, Checkpoints(LocalProgress(bundle_path.parent / "checkpoints"))).fit(
        head, examples, Curve((1.0,) * _EPOCHS, tuple(range(_EPOCHS, 0, -1)))
    )
    if calibration is not None:
        unseen = executor.apply(others.tensors)
        plain = model.predict(unseen)
        model = model.calibrated(fit_calibration(calibration, head, head.encode(others), plain))
        assert np.abs(model.predict(unseen) - plain).max() > 0.001, "the map does something"
    write_bundle(
        bundle_path,
        folder=folder,
        transform=transform,
        model=model,
        rows=rows,
        data_fingerprint="0" * 64,
        feature_service=FeatureServiceReference.read(project.feature_service_path),
        selection=selection,
    )
    served = ServedModel(bundle_path)
    is_network = family is Family.NEURAL_NETWORK

    # Rows that it was fitted on lie on the very thresholds of trees.
    for part in (rows, others):
        own = model.predict(executor.apply(part.tensors))
        if not task.is_classification:
            own = own.reshape(len(part), -1) * np.array(head.scale) + np.array(head.offset)
            own = own[:, 0] if head.width == 1 else own
        instances = [part.instance(place) for place in range(len(part))]
        columns = {name: [row[name] for row in instances] for name in instances[0]}
        answers = served.predict(columns, len(part))
        for one, other in zip(answers, own.tolist(), strict=True):
            assert not differ(one, other, TOLERANCE), f"served and fitted are not equal: {one}, {other}"
        # Isotonic calibration of few rows has few steps.
        told_apart = 1 if calibration == "isotonic" else 3
        assert len({str(answer) for answer in answers}) > told_apart, "the comparison is of something"
        # A tree may not look at a number that is wrong.
        numbers = executor.apply(part.tensors)
        np.testing.assert_allclose(served.encode(columns, len(part)), numbers, atol=TOLERANCE)
        as_arrays = {name: _as_array(values) for name, values in columns.items()}
        np.testing.assert_allclose(served.encode(as_arrays, len(part)), numbers, atol=TOLERANCE)
        if is_network:
            in_graph = encode(transform, {name: tf.constant(v) for name, v in part.tensors.items()})
            np.testing.assert_allclose(in_graph, numbers, atol=TOLERANCE)
            asked = model.ask(bundle_path, transform, part.tensors, TASK_FORMS[task].output)
            np.testing.assert_allclose(asked, own, rtol=TOLERANCE, atol=TOLERANCE)
    assert model.parameters > 0
    assert (bundle_path / "model.onnx").exists() is not is_network

    if not is_explained:
        return served
    [explanation] = served.explain(served.encode(columns, len(others))[:1], 0.0, 60.0)
    gain = explanation.prediction - explanation.expectation
    assert not differ(explanation.prediction.tolist(), np.atleast_1d(answers[0]).tolist(), TOLERANCE)
    assert explanation.shares.shape == (len(dictionary.features), head.width)
    # A map makes more of the last digits in which one row alone and one among others differ.
    tolerance = 1e-6 if calibration is None else TOLERANCE
    within = tolerance * max(1, np.abs(own).max())
    np.testing.assert_allclose(explanation.shares.sum(axis=0), gain, atol=within)
    assert explanation.shares.any()
    return served


def _keep_every_other(transform: FittedTransform) -> FeatureSelection:
    return FeatureSelection(
        method="mutual_information",
        asked=None,
        rows=1,
        features=tuple(
            FeatureImportance(name=column.name, importance=1.0, by_chance=0.0, is_kept=place % 2 == 0)
            for place, column in enumerate(transform.columns)
        ),
    )


def _as_array(values: list[object]) -> object:
    """A column as a tensor of numbers brings it; codes stay as they are."""
    if any(isinstance(value, str) for value in values):
        return values
    return np.array([np.nan if value is None else value for value in values], np.float64)
