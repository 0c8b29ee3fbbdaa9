"""Fitting the network: how many epochs, by early stopping; then once for good.

Everything is seeded and TensorFlow is told to be deterministic, so that the same rows and the same seed give
the same weights, bit for bit, on one machine.
"""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from components.train_model.batches import order_batches
from components.train_model.checkpoints import Checkpoint, Checkpoints, FitState
from components.train_model.heads import Head
from components.train_model.learners import AnyExamples, Curve, Examples
from components.train_model.network import NetworkBuilder
from components.train_model.progress import fingerprint_code
from mulgil.contract.learning import Training
from mulgil.errors import InputError, describe

# Rows whose loss is measured together: enough for a small table in one go, and of images a bounded memory.
_MEASURED_ROWS = 1 << 12
# What an exponential schedule ends at, of the rate that it begins with. Chosen by eye.
_LEAST_RATE = 0.01


def find_epochs(
    builder: NetworkBuilder, head: Head, train: AnyExamples, validation: AnyExamples, checkpoints: Checkpoints
) -> Curve:
    """Fit on the training rows until the validation loss has not fallen for `patience` epochs.

    Raises:
        InputError: The loss grew beyond all bounds.
    """
    training = builder.training
    place = _find(checkpoints, builder, head, train, *validation.identity)
    measure = _ValidationLoss(validation, head)
    network, logs = _fit(builder, head, train, training.max_epochs, place, measure)
    curve = Curve(tuple(logs["loss"]), tuple(logs["val_loss"]), int(network.count_params()))
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


def fit_network(
    builder: NetworkBuilder, head: Head, examples: AnyExamples, epochs: int, checkpoints: Checkpoints
) -> keras.Model:
    """Fit a new network for so many epochs; of a number it gives the standardised one."""
    place = _find(checkpoints, builder, head, examples, epochs)
    network, _ = _fit(builder, head, examples, epochs, place, None)
    return builder.in_float32(network, head)


def _find(
    checkpoints: Checkpoints, builder: NetworkBuilder, head: Head, examples: AnyExamples, *more: object
) -> Checkpoint:
    settings = [fingerprint_code(), builder.description, repr(head)]
    return checkpoints.find(settings, *examples.identity, *more)


class _ValidationLoss(keras.callbacks.Callback):
    """Adds the plain loss of the validation rows to each epoch's logs.

    In place of `validation_data`, which sets up a new iterator each epoch: for a small table that took 30
    times as long as the epoch itself.
    """

    def __init__(self, validation: AnyExamples, head: Head) -> None:
        super().__init__()
        self._validation = validation
        self._head = head

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Trace the loss once."""
        loss = self._head.loss
        given = self._give(next(self._validation.parts(1)))

        @tf.function(input_signature=[tf.TensorSpec([None, *one.shape[1:]], one.dtype) for one in given])
        def measure(numbers: tf.Tensor, target: tf.Tensor, weights: tf.Tensor | None = None) -> tf.Tensor:
            return loss(target, self.model(numbers, training=False), sample_weight=weights)

        self._measure = measure

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Measure; Keras hands the same logs to the callbacks after this one."""
        if logs is not None:
            parts = self._validation.parts(_MEASURED_ROWS)
            losses = [float(self._measure(*self._give(part))) * len(part) for part in parts]
            logs["val_loss"] = sum(losses) / len(self._validation)

    def _give(self, part: Examples) -> list[tf.Tensor]:
        weights = self._head.weigh(part.target)
        return [tf.constant(one) for one in (part.numbers, part.target, weights) if one is not None]


class _Progress(keras.callbacks.Callback):
    """Keeps each epoch's losses, leaves a checkpoint now and then, and ends a fit that gets no better.

    In place of Keras's `EarlyStopping`, which begins to count anew when a fit is taken up again.
    """

    def __init__(self, state: FitState | None, place: Checkpoint, patience: int) -> None:
        super().__init__()
        self.logs: dict[str, list[float]] = state.logs if state else {"loss": []}
        self._place = place
        self._patience = patience

    @property
    def is_over(self) -> bool:
        """Whether the validation loss has not fallen for so many epochs."""
        losses = self.logs.get("val_loss")
        return bool(losses) and len(losses) - 1 - int(np.argmin(losses)) >= self._patience

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Note the epoch."""
        for name, value in (logs or {}).items():
            self.logs.setdefault(name, []).append(float(value))
        if self.is_over:
            self.model.stop_training = True
        if self._place.is_due:
            self._place.save(self.state)

    @property
    def state(self) -> FitState:
        """The fit as it is."""
        return FitState(self.logs, [np.asarray(variable) for variable in _variables(self.model)])


def _fit(
    builder: NetworkBuilder,
    head: Head,
    examples: AnyExamples,
    epochs: int,
    place: Checkpoint,
    measure: keras.callbacks.Callback | None,
) -> tuple[keras.Model, dict[str, list[float]]]:
    training = builder.training
    # A network's names are in its files: they must not tell how many were fitted before it.
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(training.seed)
    tf.config.experimental.enable_op_determinism()
    network = builder.build(examples.width, head)
    steps = -(-len(examples) // training.batch_size)
    # An epoch is one call of one graph, over one iterator that goes on through all epochs.
    network.compile(
        keras.optimizers.Adam(_schedule(training, steps)),
        loss=head.loss,
        steps_per_execution=steps,
        jit_compile=False,
    )
    state = place.load()
    if state is not None:
        network.optimizer.build(network.trainable_variables)
        for variable, value in zip(_variables(network), state.variables, strict=True):
            variable.assign(value)
        print(f"Taken up after epoch {state.epochs}")
    progress = _Progress(state, place, training.patience)
    done = state.epochs if state else 0
    if done < epochs and not progress.is_over:
        network.fit(
            order_batches(examples, head, training, done, epochs),
            initial_epoch=done,
            epochs=epochs,
            steps_per_epoch=steps,
            shuffle=False,
            callbacks=[*([measure] if measure else []), progress],
            verbose=0,
        )
        # It may be killed in what comes after.
        if place.is_there:
            place.save(progress.state)
    return network, progress.logs


def _variables(network: keras.Model) -> list[keras.Variable]:
    """Return all that a fit changes: weights, statistics and the state of what is random, then Adam's own."""
    return [*network.variables, *network.optimizer.variables]


def _schedule(training: Training, steps: int) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """Return the learning rate, or how it falls over as many epochs as there may be."""
    total = steps * training.max_epochs
    if training.schedule == "cosine":
        return keras.optimizers.schedules.CosineDecay(training.learning_rate, total)
    if training.schedule == "exponential":
        return keras.optimizers.schedules.ExponentialDecay(training.learning_rate, total, _LEAST_RATE)
    return training.learning_rate
