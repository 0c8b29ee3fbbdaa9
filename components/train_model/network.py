"""The multilayer perceptron."""

from __future__ import annotations

import keras

from components.train_model.heads import Head
from mulgil.contract.learning import Training


def build_network(training: Training, width: int, head: Head) -> keras.Model:
    """Build the network with its initial weights, which the seed of Keras decides.

    Args:
        training: Its layers and their regularisation.
        width: Length of the numeric input.
        head: What stands at its end.

    Returns:
        The network, not compiled.

    Shapes:
        (rows, width) in; (rows,) out, or (rows, head.width) where that is more than one.
    """
    numbers = keras.Input((width,), name="numbers")
    hidden = numbers
    for units in training.hidden_units:
        hidden = keras.layers.Dense(units, activation="relu", kernel_regularizer=_penalty(training))(hidden)
        hidden = keras.layers.Dropout(training.dropout)(hidden)
    answer = keras.layers.Dense(
        head.width, activation=head.activation, kernel_regularizer=_penalty(training)
    )(hidden)
    return keras.Model(numbers, keras.ops.squeeze(answer, axis=-1) if head.width == 1 else answer)


def _penalty(training: Training) -> keras.regularizers.Regularizer:
    return keras.regularizers.L2(training.l2)
