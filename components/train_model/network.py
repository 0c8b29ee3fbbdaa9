"""The network: a multilayer perceptron, after convolutions where it reads images, or the project's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras

from components.train_model.heads import Head
from mulgil.contract.dictionary import ImageForm
from mulgil.contract.learning import Augmentation, Training
from mulgil.errors import InputError, describe
from mulgil.project_code import ProjectFunction


@dataclass(frozen=True)
class NetworkSpecification:
    """What a network must read and give; a project's own `build_model` is given it.

    Attributes:
        input_shape: Of one row: (numbers,), or of images (height, width, channels), each number from 0 to 1.
        outputs: Numbers a row.
        activation: Of the last layer, by Keras's name; `None` is linear.
    """

    input_shape: tuple[int, ...]
    outputs: int
    activation: str | None


@dataclass(frozen=True)
class NetworkBuilder:
    """Builds new networks of one kind.

    Attributes:
        training: Layers and their regularisation.
        image: What an image was brought to, where the model reads images.
        folder: The project's, where its own code may be.
    """

    training: Training
    image: ImageForm | None
    folder: Path

    @property
    def description(self) -> list[object]:
        """What decides the network and its fit, so that two of equal descriptions are the same."""
        image = self.image.model_dump(mode="json") if self.image else None
        return [self.training.model_dump(mode="json"), image, self.code]

    @property
    def code(self) -> str:
        """The project's own, where it builds the network."""
        if self.training.builder is None:
            return ""
        modules = sorted(self.folder.rglob("*.py"))
        return "\n".join(module.read_text(encoding="utf-8-sig") for module in modules)

    def build(self, width: int, head: Head) -> keras.Model:
        """Build a network with its initial weights, which the seed of Keras decides.

        It computes in what `training.precision` says, and takes and gives float32.

        Args:
            width: Length of the numeric input.
            head: What stands at its end.

        Returns:
            The network, not compiled.

        Shapes:
            (rows, width) in; (rows,) out, or (rows, head.width) where that is more than one.
        """
        before = keras.config.dtype_policy()
        # Here and not layer by layer, for the project's own code builds some of them.
        keras.config.set_dtype_policy(self.training.precision)
        try:
            return self._build(width, head)
        finally:
            keras.config.set_dtype_policy(before)

    def in_float32(self, network: keras.Model, head: Head) -> keras.Model:
        """Return a network of the same weights that computes in float32, as what is served does."""
        if self.training.precision == "float32":
            return network
        keras.utils.clear_session(free_memory=False)
        plain = replace(self, training=self.training.model_copy(update={"precision": "float32"}))
        same = plain.build(network.input_shape[1], head)
        same.set_weights(network.get_weights())
        return same

    def _build(self, width: int, head: Head) -> keras.Model:
        numbers = keras.Input((width,), name="numbers", dtype="float32")
        hidden = numbers
        image = self.image
        shape: tuple[int, ...] = (width,)
        if image is not None:
            shape = (image.height, image.width, image.channels)
            hidden = keras.layers.Reshape(shape)(hidden)
            if self.training.augmentation is not None:
                hidden = _vary(hidden, self.training.augmentation, self.training.seed)
        if self.training.builder is not None:
            answer = self._build_own(NetworkSpecification(shape, head.width, head.activation))(hidden)
        else:
            answer = _stack(hidden, self.training, head)
        if self.training.precision != "float32":
            answer = keras.layers.Activation("linear", dtype="float32")(answer)
        return keras.Model(numbers, keras.ops.squeeze(answer, axis=-1) if head.width == 1 else answer)

    def _build_own(self, specification: NetworkSpecification) -> Callable[[Any], Any]:
        assert self.training.builder is not None
        name = self.training.builder.split(":")[1]
        function = ProjectFunction(
            self.folder,
            self.training.builder,
            key="training.builder",
            title="network",
            form=f"`def {name}(spec, hyperparameters):` that returns a Keras model",
        )
        model = function(specification, dict(self.training.hyperparameters))
        expected = (None, *specification.input_shape), (None, specification.outputs)
        received = type(model).__name__
        if isinstance(model, keras.Model):
            if isinstance(model, keras.Sequential) and not model.built:
                model.build(expected[0])
            received = f"{model.input_shape} to {model.output_shape}"
            if (model.input_shape, model.output_shape) == expected:
                return model
        raise InputError(
            describe(
                f"{function.location} built no network for these rows",
                expected=f"a Keras model of {expected[0]} to {expected[1]}",
                received=received,
                next_step="take the shapes from `spec.input_shape`, `spec.outputs` and `spec.activation`",
            )
        )


def _stack(hidden: Any, training: Training, head: Head) -> Any:
    """Put the layers that project.yaml names on one another."""
    for filters in training.convolutions:
        hidden = _layer(keras.layers.Conv2D, (filters, 3), hidden, training)
        hidden = keras.layers.MaxPooling2D(2)(hidden)
    if len(hidden.shape) > 2:
        hidden = keras.layers.Flatten()(hidden)
    for units in training.hidden_units:
        hidden = _layer(keras.layers.Dense, (units,), hidden, training)
        hidden = keras.layers.Dropout(training.dropout)(hidden)
    # Probabilities near 0 and 1 need the digits.
    return keras.layers.Dense(
        head.width, activation=head.activation, kernel_regularizer=_penalty(training), dtype="float32"
    )(hidden)


def _layer(kind: type[keras.layers.Layer], size: tuple[int, ...], hidden: Any, training: Training) -> Any:
    if not training.batch_normalization:
        return kind(*size, activation=training.activation, kernel_regularizer=_penalty(training))(hidden)
    # The normalisation has an offset of its own.
    hidden = kind(*size, use_bias=False, kernel_regularizer=_penalty(training))(hidden)
    hidden = keras.layers.BatchNormalization()(hidden)
    return keras.layers.Activation(training.activation)(hidden)


def _vary(images: Any, augmentation: Augmentation, seed: int) -> Any:
    """Vary images while training; otherwise these layers do nothing."""
    layers = [
        (augmentation.flip, lambda: keras.layers.RandomFlip("horizontal", seed=seed)),
        (
            augmentation.shift,
            lambda: keras.layers.RandomTranslation(
                augmentation.shift, augmentation.shift, fill_mode="nearest", seed=seed + 1
            ),
        ),
        (
            augmentation.rotation,
            # Keras counts in turns.
            lambda: keras.layers.RandomRotation(
                augmentation.rotation / 360, fill_mode="nearest", seed=seed + 2
            ),
        ),
        (
            augmentation.zoom,
            lambda: keras.layers.RandomZoom(augmentation.zoom, fill_mode="nearest", seed=seed + 3),
        ),
    ]
    for is_wanted, make in layers:
        if is_wanted:
            images = make()(images)
    return images


def _penalty(training: Training) -> keras.regularizers.Regularizer:
    return keras.regularizers.L1L2(training.l1, training.l2)
