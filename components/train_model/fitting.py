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
from components.train_model.network import build_network
from mulgil.contract.learning import Training
from mulgil.errors import InputError, describe


def find_epochs(training: Training, head: Head, train: Examples, validation: Examples) -> Curve:
    """Fit on the training rows until the validation loss has not fallen for `patience` epochs.

    Raises:
        InputError: The loss grew beyond all bounds.
    """
    stopping = keras.callbacks.EarlyStopping("val_loss", patience=training.patience, mode="min")
    callbacks = [_ValidationLoss(validation, head.loss), stopping]
    _, history = _fit(training, head, train, training.max_epochs, callbacks)
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


def fit_network(training: Training, head: Head, examples: Examples, epochs: int) -> keras.Model:
    """Fit a new network for so many epochs; of a number it gives the standardised one."""
    network, _ = _fit(training, head, examples, epochs, [])
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
        self._measure = tf.function(lambda: self._loss(target, self.model(numbers, training=False)))

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Measure; Keras hands the same logs to the callbacks after this one."""
        if logs is not None:
            logs["val_loss"] = float(self._measure())


def _fit(
    training: Training,
    head: Head,
    examples: Examples,
    epochs: int,
    callbacks: list[keras.callbacks.Callback],
) -> tuple[keras.Model, dict[str, list[float]]]:
    keras.utils.set_random_seed(training.seed)
    tf.config.experimental.enable_op_determinism()
    rows, width = examples.numbers.shape
    network = build_network(training, width, head)
    steps = -(-rows // training.batch_size)
    # An epoch is one call of one graph, over one iterator that goes on through all epochs.
    network.compile(
        keras.optimizers.Adam(training.learning_rate),
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
