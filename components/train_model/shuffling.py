"""Permutations that a seed decides, of which any part can be computed by itself."""

from __future__ import annotations

import tensorflow as tf

# What is shuffled besides the rows of a group of shards, which are counted from 0.
ORDER_OF_SHARDS, DEALING = -1, -2
_BEFORE_SEED = 498247692


def shuffle(
    places: tf.Tensor, seed: int, epoch: tf.Tensor | int, of: tf.Tensor | int = 0, rows: int | None = None
) -> tf.Tensor:
    """Return where places come in a permutation.

    Args:
        places: Which; all of them, where `rows` is not given.
        seed: It decides the permutation, together with the next two.
        epoch: Which time it is.
        of: What is shuffled.
        rows: How many places there are.
    """
    # What `tf.random.experimental.index_shuffle` puts before a seed of two numbers, and more to tell apart.
    numbers = [tf.cast(number, tf.int64) for number in (_BEFORE_SEED + of, seed, epoch)]
    return tf.raw_ops.RandomIndexShuffle(
        index=places,
        seed=tf.stack(numbers),
        max_index=(tf.size(places, tf.int64) if rows is None else tf.constant(rows, tf.int64)) - 1,
        rounds=4,
    )
