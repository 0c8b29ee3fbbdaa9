"""Fitting the network: how many epochs, by early stopping; then once for good.

Everything is seeded and TensorFlow is told to be deterministic, so that the same rows and the same seed give
the same weights, bit for bit, on one machine.
"""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from components.train_model.heads import Head
from components.train_model.learners import Curve, Examples
from components.train_model.network import NetworkBuilder
from mulgil.contract.learning import Training
from mulgil.errors import InputError, describe

# Rows whose loss is measured together: enough for a small table in one go, and of images a bounded memory.
_MEASURED_ROWS = 1 << 12
# What an exponential schedule ends at, of the rate that it begins with. Chosen by eye.
_LEAST_RATE = 0.01


def find_epochs(builder: NetworkBuilder, head: Head, train: Examples, validation: Examples) -> Curve:
    """Fit on the training rows until the validation loss has not fallen for `patience` epochs.

    Raises:
        InputError: The loss grew beyond all bounds.
    """
    training = builder.training
    stopping = keras.callbacks.EarlyStopping("val_loss", patience=training.patience, mode="min")
    callbacks = [_ValidationLoss(validation, head.loss), stopping]
    _, history = _fit(builder, head, train, training.max_epochs, callbacks)
    curve = Curve(tuple(history["loss"]), tuple(history["val_loss"]))
    if not np.isfinite([curve.loss, curve.val_loss]).all():
        raise InputError(
            describe(
                "The training diverged: its loss is no longer a number",
                expected="a learning rate that these rows bear",
                received=f"learning_rate={training.learning_rate}",
                next_step="divide training.learning_rate in project.yaml by ten",
            )
        )
    return curve


def fit_network(builder: NetworkBuilder, head: Head, examples: Examples, epochs: int) -> keras.Model:
    """Fit a new network for so many epochs; of a number it gives the standardised one."""
    network, _ = _fit(builder, head, examples, epochs, [])
    return network


class _ValidationLoss(keras.callbacks.Callback):
    """Adds the plain loss of the validation rows to each epoch's logs.

    In place of `validation_data`, which sets up a new iterator each epoch: for a small table that took 30
    times as long as the epoch itself.
    """

    def __init__(self, validation: Examples, loss: keras.losses.Loss) -> None:
        super().__init__()
        self._validation = validation
        self._loss = loss

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Trace the loss once."""
        numbers, target = tf.constant(self._validation.numbers), tf.constant(self._validation.target)

        @tf.function
        def measure(start: tf.Tensor, end: tf.Tensor) -> tf.Tensor:
            return self._loss(target[start:end], self.model(numbers[start:end], training=False))

        self._measure = measure

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Measure; Keras hands the same logs to the callbacks after this one."""
        if logs is not None:
            rows = len(self._validation.numbers)
            starts = range(0, rows, _MEASURED_ROWS)
            parts = [(start, min(start + _MEASURED_ROWS, rows)) for start in starts]
            losses = [float(self._measure(tf.constant(a), tf.constant(b))) * (b - a) for a, b in parts]
            logs["val_loss"] = sum(losses) / rows


def _fit(
    builder: NetworkBuilder,
    head: Head,
    examples: Examples,
    epochs: int,
    callbacks: list[keras.callbacks.Callback],
) -> tuple[keras.Model, dict[str, list[float]]]:
    training = builder.training
    keras.utils.set_random_seed(training.seed)
    tf.config.experimental.enable_op_determinism()
    rows, width = examples.numbers.shape
    network = builder.build(width, head)
    steps = -(-rows // training.batch_size)
    # An epoch is one call of one graph, over one iterator that goes on through all epochs.
    network.compile(
        keras.optimizers.Adam(_schedule(training, steps)),
        loss=head.loss,
        steps_per_execution=steps,
        jit_compile=False,
    )
    dataset = tf.data.Dataset.from_tensor_slices((examples.numbers, examples.target))
    dataset = dataset.shuffle(rows, seed=training.seed).batch(training.batch_size).repeat()
    history = network.fit(
        dataset, epochs=epochs, steps_per_epoch=steps, shuffle=False, callbacks=callbacks, verbose=0
    )
    return network, history.history


def _schedule(training: Training, steps: int) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """Return the learning rate, or how it falls over as many epochs as there may be."""
    total = steps * training.max_epochs
    if training.schedule == "cosine":
        return keras.optimizers.schedules.CosineDecay(training.learning_rate, total)
    if training.schedule == "exponential":
        return keras.optimizers.schedules.ExponentialDecay(training.learning_rate, total, _LEAST_RATE)
    return training.learning_rate
