"""Small real bundles: a Keras model converted to LiteRT, of columns of every type."""

import json
import os
from functools import cache
from pathlib import Path

import numpy as np

from mulgil.artifacts import (
    BUNDLE_DICTIONARY,
    BUNDLE_EXAMPLE,
    BUNDLE_LITERT,
    BUNDLE_MANIFEST,
    BUNDLE_TRANSFORM,
    BundleManifest,
    FeatureServiceReference,
    WarmUpExample,
    fingerprint_files,
)
from mulgil.contract import DataDictionary, Task
from mulgil.contract.answers import AnswerForm
from mulgil.contract.learning import TASK_FORMS
from mulgil.preprocessing import FittedColumn, FittedTransform, TransformExecutor

DICTIONARY = DataDictionary.model_validate(
    {
        "columns": [
            {"name": "patient_id", "role": "entity", "type": "integer", "description": "Who."},
            {"name": "seen_at", "role": "event_timestamp", "type": "timestamp", "description": "When."},
            {"name": "age", "type": "integer", "range": [18, 110], "unit": "years", "description": "Age."},
            {"name": "oldpeak", "type": "float", "missing": "mean", "description": "ST depression."},
            {"name": "exang", "type": "boolean", "missing": "most_frequent", "description": "Angina."},
            {
                "name": "thal",
                "type": "category",
                "categories": [3, 6, 7],
                "missing": "new_category",
                "description": "Thallium test.",
            },
            {"name": "income", "type": "float", "range": [0, 1e6], "sensitive": True, "description": "Pay."},
            {"name": "disease", "role": "target", "type": "boolean", "description": "Narrowed vessel."},
        ]
    }
)

_TARGETS = {
    Task.BINARY_CLASSIFICATION: [{"name": "disease", "type": "boolean"}],
    Task.MULTICLASS_CLASSIFICATION: [
        {"name": "disease", "type": "category", "categories": ["none", "물길", "3"]}
    ],
    Task.MULTILABEL_CLASSIFICATION: [{"name": n, "type": "boolean"} for n in ("left", "right")],
    Task.SCALAR_REGRESSION: [{"name": "days", "type": "float"}],
    Task.VECTOR_REGRESSION: [{"name": n, "type": "float"} for n in ("days", "cost", "visits")],
}


def dictionary_of(task: Task) -> DataDictionary:
    """The dictionary with a task's targets."""
    others = [column for column in DICTIONARY.model_dump()["columns"] if column["role"] != "target"]
    targets = [{**target, "role": "target", "description": "Any."} for target in _TARGETS[task]]
    return DataDictionary.model_validate({"columns": [*others, *targets]})


TRANSFORM = FittedTransform(
    columns=(
        FittedColumn(name="age", is_categorical=False, fill=None, offset=54.0, scale=0.1),
        FittedColumn(name="oldpeak", is_categorical=False, fill=1.0, offset=1.0, scale=0.8),
        FittedColumn(name="exang", is_categorical=False, fill=0.0),
        FittedColumn(name="thal", is_categorical=True, fill="", codes=("3", "6", "7", "")),
        FittedColumn(name="income", is_categorical=False, fill=None, offset=30_000.0, scale=1e-5),
    )
)
ROW = {"age": 63, "oldpeak": 2.3, "exang": True, "thal": "6", "income": 41_000.0}
SPARSE_ROW = {"age": 41, "oldpeak": None, "exang": None, "thal": None, "income": 12_000.0}


_ACTIVATIONS = {
    Task.BINARY_CLASSIFICATION: "sigmoid",
    Task.MULTICLASS_CLASSIFICATION: "softmax",
    Task.MULTILABEL_CLASSIFICATION: "sigmoid",
}


class NumericNetwork:
    """A network with random weights; two seeds give two models that predict differently."""

    def __init__(self, seed: int, task: Task = Task.BINARY_CLASSIFICATION) -> None:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        import keras
        import tensorflow as tf

        keras.utils.set_random_seed(seed)
        network = keras.Sequential(
            [
                keras.Input((TRANSFORM.width,)),
                keras.layers.Dense(8, activation="relu"),
                keras.layers.Dense(AnswerForm.of(task, dictionary_of(task)).width, _ACTIVATIONS.get(task)),
            ]
        )
        self._task = task
        self._network = network
        self.litert = tf.lite.TFLiteConverter.from_keras_model(network).convert()

    def break_numbers(self) -> None:
        """Make every answer NaN, as a training that diverged leaves it."""
        import tensorflow as tf

        for weights in self._network.weights:
            weights.assign(np.full(weights.shape, np.nan, np.float32))
        self.litert = tf.lite.TFLiteConverter.from_keras_model(self._network).convert()

    def predict(self, *rows: dict[str, object]) -> list[float]:
        """What Keras itself answers."""
        columns = {name: [row[name] for row in rows] for name in ROW}
        answer = np.asarray(self._network(TransformExecutor(TRANSFORM).apply(columns)))
        return (answer.reshape(-1) if answer.shape[1] == 1 else answer).tolist()

    def write_bundle(
        self, path: Path, feature_service: FeatureServiceReference | None = None
    ) -> BundleManifest:
        """Write a bundle as the exporter does; without a feature service it names a store that is nowhere."""
        path.mkdir(parents=True)
        (path / BUNDLE_LITERT).write_bytes(self.litert)
        dictionary = dictionary_of(self._task).model_dump_json()
        (path / BUNDLE_DICTIONARY).write_text(dictionary, encoding="utf-8")
        TRANSFORM.write(path / BUNDLE_TRANSFORM)
        WarmUpExample(instance=ROW, prediction=self.predict(ROW)[0]).write(path / BUNDLE_EXAMPLE)
        return seal(path, feature_service, self._task)


def seal(
    path: Path,
    feature_service: FeatureServiceReference | None = None,
    task: Task = Task.BINARY_CLASSIFICATION,
) -> BundleManifest:
    """Write the manifest for whatever the bundle's directory holds."""
    (path / BUNDLE_MANIFEST).unlink(missing_ok=True)
    manifest = BundleManifest(
        name="heart",
        task=task,
        output=TASK_FORMS[task].output,
        data_fingerprint="0" * 64,
        dictionary_fingerprint="0" * 64,
        feature_service=feature_service
        or FeatureServiceReference(
            name="heart",
            project="heart",
            store_version="0" * 12,
            online_store="nowhere",
            entity="patient_id",
            features=tuple(ROW),
        ),
        files=fingerprint_files(path),
    )
    manifest.write(path / BUNDLE_MANIFEST)
    return manifest


def edit_json(path: Path, **changes: object) -> None:
    """Change top-level keys of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")


@cache
def network(seed: int, task: Task = Task.BINARY_CLASSIFICATION) -> NumericNetwork:
    """The network of a seed and task, made once a process: TensorFlow takes seconds."""
    return NumericNetwork(seed, task)
