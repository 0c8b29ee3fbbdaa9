"""The multilayer perceptron."""

from __future__ import annotations

import keras

from mulgil.contract.project import Training


def build_network(training: Training, width: int) -> keras.Model:
    """Build the network with its initial weights, which the seed of Keras decides.

    Args:
        training: Its layers and their regularisation.
        width: Length of the numeric input.

    Returns:
        The network, not compiled.

    Shapes:
        (rows, width) in, (rows,) out: the probability of yes.
    """
    numbers = keras.Input((width,), name="numbers")
    hidden = numbers
    for units in training.hidden_units:
        hidden = keras.layers.Dense(units, activation="relu", kernel_regularizer=_penalty(training))(hidden)
        hidden = keras.layers.Dropout(training.dropout)(hidden)
    answer = keras.layers.Dense(1, activation="sigmoid", kernel_regularizer=_penalty(training))(hidden)
    return keras.Model(numbers, keras.ops.squeeze(answer, axis=-1))


def _penalty(training: Training) -> keras.regularizers.Regularizer:
    return keras.regularizers.L2(training.l2)
