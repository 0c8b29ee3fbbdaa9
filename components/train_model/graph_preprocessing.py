"""The fitted transform as operations of a TensorFlow graph: raw columns in, the network's input out."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from components.train_model.graph_derived import derive_tensor
from mulgil.contract.expressions import parse_expression
from mulgil.images import GREY_WEIGHTS
from mulgil.preprocessing import MISSING_CODE, FittedColumn, FittedTransform


def specify_inputs(transform: FittedTransform) -> dict[str, tf.TensorSpec]:
    """Return the graph's inputs by column: float32 where NaN is missing, text where "" is, or files.

    A date and time is float64: seconds since 1970 in UTC, where NaN is missing.

    Shapes:
        (rows,) each.
    """
    return {
        column.name: tf.TensorSpec(
            [None], tf.string if column.is_categorical or column.image else tf.float32, name=column.name
        )
        for column in transform.inputs
    } | {name: tf.TensorSpec([None], tf.float64, name=name) for name in transform.moments}


def encode(transform: FittedTransform, columns: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Apply the transform.

    Shapes:
        (rows,) each in `columns`; returns (rows, width).
    """
    any_input = columns[transform.names[0]]
    derived = {
        column.name: derive_tensor(parse_expression(column.derived), columns, any_input)
        for column in transform.columns
        if column.derived is not None
    }
    columns = {**columns, **derived}
    parts = [
        _read_images(column, columns[column.name])
        if column.image is not None
        else _one_hot(column, columns[column.name])
        if column.is_categorical
        else _standardise(column, columns[column.name])
        for column in transform.columns
        if column.is_selected
    ]
    return tf.concat(parts, axis=1)


def _standardise(column: FittedColumn, raw: tf.Tensor) -> tf.Tensor:
    if column.fill is not None:
        raw = tf.where(tf.math.is_nan(raw), tf.constant(column.fill, tf.float32), raw)
    # Comparisons, for which NaN stays NaN as in numpy; minimum and maximum do not promise that.
    if column.low is not None:
        low = tf.constant(column.low, tf.float32)
        raw = tf.where(raw < low, low, raw)
    if column.high is not None:
        high = tf.constant(column.high, tf.float32)
        raw = tf.where(raw > high, high, raw)
    return ((raw - tf.constant(column.offset)) * tf.constant(column.scale))[:, tf.newaxis]


def _read_images(column: FittedColumn, raw: tf.Tensor) -> tf.Tensor:
    """Decode, make grey, resize and scale, as `mulgil.images` does."""
    form = column.image
    assert form is not None

    def read(content: tf.Tensor) -> tf.Tensor:
        # It reads PNG too; the accurate method is that of other decoders.
        pixels = tf.cast(tf.io.decode_jpeg(content, channels=3, dct_method="INTEGER_ACCURATE"), tf.float32)
        if form.colors == "grey":
            pixels = tf.reduce_sum(pixels * tf.constant(GREY_WEIGHTS, tf.float32), axis=-1, keepdims=True)
        resized = tf.image.resize(pixels, (form.height, form.width), antialias=True)
        return tf.reshape(resized, [form.size])

    pixels = tf.map_fn(read, raw, fn_output_signature=tf.TensorSpec([form.size], tf.float32))
    return (pixels - tf.constant(column.offset)) * tf.constant(column.scale)


def _one_hot(column: FittedColumn, raw: tf.Tensor) -> tf.Tensor:
    if column.fill is not None:
        raw = tf.where(raw == MISSING_CODE, tf.constant(column.fill), raw)
    # Comparing with each code needs no lookup table, whose state a server would have to initialise.
    return tf.cast(raw[:, tf.newaxis] == tf.constant(column.codes)[tf.newaxis, :], tf.float32)
