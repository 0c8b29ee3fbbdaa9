"""Writing the model bundle.

The same weights give the same bytes in a new process, so that a bundle's fingerprint says what is in it.
"""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from components.train_model.graph_preprocessing import encode, specify_inputs
from mulgil.artifacts import (
    BUNDLE_BACKGROUND,
    BUNDLE_DICTIONARY,
    BUNDLE_EXAMPLE,
    BUNDLE_LITERT,
    BUNDLE_MANIFEST,
    BUNDLE_SAVED_MODEL,
    BUNDLE_TRANSFORM,
    Background,
    BundleManifest,
    FeatureServiceReference,
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
    network: keras.Model,
    rows: TrainingRows,
    data_fingerprint: str,
    feature_service: FeatureServiceReference,
) -> BundleManifest:
    """Write a bundle, whole or not at all.

    Args:
        path: The bundle's directory; what stands there is replaced.
        folder: The project.
        transform: The fitted preprocessing.
        network: The fitted network behind it.
        rows: Rows it was fitted on; the first becomes the warm-up example.
        data_fingerprint: Of the dataset they are from.
        feature_service: What the model reads by entity.

    Returns:
        The bundle's manifest.
    """
    dictionary = folder.dictionary.model_dump(mode="json")
    # The output's name in the SavedModel and in the LiteRT model.
    output = TASK_FORMS[folder.project.task].output
    with staged_directory(path) as staged:
        _write_saved_model(staged / BUNDLE_SAVED_MODEL, transform, network, output)
        (staged / BUNDLE_LITERT).write_bytes(_convert_to_litert(network, output))
        transform.write(staged / BUNDLE_TRANSFORM)
        write_text(staged / BUNDLE_DICTIONARY, json.dumps(dictionary, indent=2, ensure_ascii=False) + "\n")
        _answer_first(staged / BUNDLE_SAVED_MODEL, rows, output).write(staged / BUNDLE_EXAMPLE)
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


def _write_saved_model(path: Path, transform: FittedTransform, network: keras.Model, output: str) -> None:
    @tf.function(input_signature=[specify_inputs(transform)], autograph=False)
    def serve(columns: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {output: network(encode(transform, columns), training=False)}

    tf.saved_model.save(_owner(network), str(path), signatures={"serving_default": serve})
    # An optional file whose random identifier would be the one difference between two equal bundles.
    (path / "fingerprint.pb").unlink()


def _convert_to_litert(network: keras.Model, output: str) -> bytes:
    # An open first dimension, so that one interpreter may be resized to any number of rows.
    @tf.function(input_signature=[tf.TensorSpec(network.input_shape, tf.float32, "numbers")], autograph=False)
    def answer(numbers: tf.Tensor) -> dict[str, tf.Tensor]:
        return {output: network(numbers, training=False)}

    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [answer.get_concrete_function()], _owner(network)
    )
    content: bytes = converter.convert()
    return content


def _choose_background(rows: TrainingRows, dictionary: DataDictionary) -> Background:
    """Choose rows evenly, so that the same rows give the same bundle."""
    count = min(len(rows), _BACKGROUND_ROWS)
    instances = [rows.instance(int(place)) for place in np.linspace(0, len(rows) - 1, count).astype(int)]
    random = np.random.default_rng(0)
    for column in dictionary.features:
        if column.sensitive:
            values = [instance[column.name] for instance in instances]
            for instance, place in zip(instances, random.permutation(count).tolist(), strict=True):
                instance[column.name] = values[place]
    return Background(instances=tuple(instances))


def _owner(network: keras.Model) -> tf.Module:
    """Return what TensorFlow saves the weights with: without Keras's own objects, and frozen in LiteRT."""
    owner = tf.Module()
    owner.weights = [variable.value for variable in network.weights]
    return owner


def _answer_first(saved_model_path: Path, rows: TrainingRows, output: str) -> WarmUpExample:
    """Ask the SavedModel as it was written, which also shows that it loads."""
    serve = tf.saved_model.load(str(saved_model_path)).signatures["serving_default"]
    answer = serve(**{name: tf.constant(values[:1]) for name, values in rows.tensors.items()})
    return WarmUpExample(instance=rows.instance(0), prediction=answer[output].numpy()[0].tolist())
