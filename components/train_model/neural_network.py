"""Networks as a family: fitted by epochs, served as SavedModel and LiteRT."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.train_model.calibration import calibrate
from components.train_model.checkpoints import Checkpoints
from components.train_model.fitting import find_epochs, fit_network
from components.train_model.function_names import renumber_functions
from components.train_model.graph_preprocessing import encode, specify_inputs
from components.train_model.heads import Head
from components.train_model.learners import AnyExamples, Curve, Floats
from components.train_model.network import NetworkBuilder
from mulgil.artifacts import BUNDLE_LITERT, BUNDLE_SAVED_MODEL, CalibrationMap
from mulgil.preprocessing import FittedTransform
from mulgil.preprocessing.rows import Tensors

# Together, so that the layers of many images do not fill the memory. Chosen by eye.
_PREDICTED_ROWS = 1 << 12


@dataclass(frozen=True)
class NeuralNetwork:
    """The family.

    Attributes:
        builder: Makes the network, and says how it is fitted.
        checkpoints: Where a fit leaves how far it has come.
    """

    builder: NetworkBuilder
    checkpoints: Checkpoints
    is_fitted_by_epochs = True

    def look(self, head: Head, train: AnyExamples, validation: AnyExamples) -> Curve:
        """See after which epoch the validation loss is least."""
        return find_epochs(self.builder, head, train, validation, self.checkpoints)

    def fit(self, head: Head, examples: AnyExamples, curve: Curve) -> FittedNetwork:
        """Fit for as many epochs."""
        network = fit_network(self.builder, head, examples, curve.best_epoch, self.checkpoints)
        return FittedNetwork(network, head)


@dataclass(frozen=True)
class FittedNetwork:
    """A fitted network.

    Attributes:
        network: It gives the head's own numbers.
        head: What stands at its end.
        fitted_rows: It is fitted on all rows.
    """

    network: keras.Model
    head: Head
    fitted_rows: int | None = None

    @property
    def parameters(self) -> int:
        """How many numbers it learned."""
        return int(self.network.count_params())

    def predict(self, numbers: Floats) -> npt.NDArray[Any]:
        """Compute the head's own numbers."""
        parts = [
            np.asarray(self.network(numbers[start : start + _PREDICTED_ROWS], training=False))
            for start in range(0, len(numbers), _PREDICTED_ROWS)
        ]
        return np.concatenate(parts)

    def calibrated(self, calibration: CalibrationMap) -> FittedNetwork:
        """Return the network with the map behind it."""
        mapped = calibrate(calibration, self.network.output)
        return FittedNetwork(keras.Model(self.network.input, mapped), self.head)

    def write(self, path: Path, transform: FittedTransform, output: str) -> None:
        """Write the SavedModel, on raw columns, and the LiteRT model behind the transform."""
        network = self.head.in_units(self.network)
        _write_saved_model(path / BUNDLE_SAVED_MODEL, transform, network, output)
        (path / BUNDLE_LITERT).write_bytes(_convert_to_litert(network, output))

    def ask(self, path: Path, transform: FittedTransform, tensors: Tensors, output: str) -> npt.NDArray[Any]:
        """Ask the SavedModel as it was written."""
        serve = tf.saved_model.load(str(path / BUNDLE_SAVED_MODEL)).signatures["serving_default"]
        answer = serve(**{name: tf.constant(tensors[name]) for name in transform.names})
        return np.asarray(answer[output])


def _write_saved_model(path: Path, transform: FittedTransform, network: keras.Model, output: str) -> None:
    @tf.function(input_signature=[specify_inputs(transform)], autograph=False)
    def serve(columns: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {output: network(encode(transform, columns), training=False)}

    tf.saved_model.save(_owner(network), str(path), signatures={"serving_default": serve})
    # An optional file whose random identifier would be the one difference between two equal bundles.
    (path / "fingerprint.pb").unlink()
    renumber_functions(path / "saved_model.pb")


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


def _owner(network: keras.Model) -> tf.Module:
    """Return what TensorFlow saves the weights with: without Keras's own objects, and frozen in LiteRT."""
    owner = tf.Module()
    owner.weights = [variable.value for variable in network.weights]
    return owner
