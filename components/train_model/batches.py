"""The order in which a fit sees its rows: batches as a `tf.data.Dataset` that may begin at any epoch.

An epoch's order depends on seed and epoch alone. Rows in memory are shuffled all together. Of rows on the
disk, the shards are shuffled, and then the rows of eight at a time, while the next eight are read; so the
memory that it takes does not depend on how many rows there are.
"""

from __future__ import annotations

import tensorflow as tf

from components.train_model.heads import Head
from components.train_model.learners import AnyExamples
from components.train_model.shuffling import ORDER_OF_SHARDS, shuffle
from components.train_model.stored_examples import StoredExamples
from mulgil.contract.learning import Training

# Shards whose rows are shuffled together. Chosen by eye: 32 MB, of which three are in memory at once.
_SHUFFLED_SHARDS = 8


def order_batches(
    examples: AnyExamples, head: Head, training: Training, first: int, epochs: int
) -> tf.data.Dataset:
    """Return the batches of the epochs from `first` on: numbers, truth, and weights where rows have any."""
    if isinstance(examples, StoredExamples):
        return _order_stored(examples, head, training, first, epochs)
    rows = examples.first(len(examples))
    weights = head.weigh(rows.target)
    parts = [tf.constant(part) for part in (rows.numbers, rows.target, weights) if part is not None]

    @tf.autograph.experimental.do_not_convert
    def order(epoch: tf.Tensor) -> tf.data.Dataset:
        places = tf.range(len(examples), dtype=tf.int64)
        return _batch(shuffle(places, training.seed, epoch), training.batch_size)

    @tf.autograph.experimental.do_not_convert
    def take(places: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return tuple(tf.gather(part, places) for part in parts)

    return tf.data.Dataset.range(first, epochs).flat_map(order).map(take)


def _order_stored(
    examples: StoredExamples, head: Head, training: Training, first: int, epochs: int
) -> tf.data.Dataset:
    shards = tf.constant(examples.shards)
    groups = -(-len(examples.shards) // _SHUFFLED_SHARDS)
    record = examples.width + head.targets
    counted = tf.constant(head.class_weights, tf.float32) if head.class_weights else None

    @tf.autograph.experimental.do_not_convert
    def list_groups(epoch: tf.Tensor) -> tf.data.Dataset:
        order = shuffle(tf.range(len(examples.shards), dtype=tf.int64), training.seed, epoch, ORDER_OF_SHARDS)

        @tf.autograph.experimental.do_not_convert
        def read(group: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            start = group * _SHUFFLED_SHARDS
            # In the order of the disk, so that what is learned does not depend on what is read together.
            paths = tf.gather(shards, tf.sort(order[start : start + _SHUFFLED_SHARDS]))
            records = tf.reshape(_read(paths), [-1, record])
            places = tf.range(tf.shape(records, tf.int64)[0])
            return records, shuffle(places, training.seed, epoch, group)

        return tf.data.Dataset.range(groups).map(read)

    @tf.autograph.experimental.do_not_convert
    def divide(records: tf.Tensor, places: tf.Tensor) -> tf.data.Dataset:
        @tf.autograph.experimental.do_not_convert
        def take(chosen: tf.Tensor) -> tuple[tf.Tensor, ...]:
            rows = tf.gather(records, chosen)
            target = tf.cast(rows[:, examples.width :], head.target_type)
            target = target[:, 0] if head.targets == 1 else target
            parts = (rows[:, : examples.width], target)
            return parts if counted is None else (*parts, tf.gather(counted, tf.cast(target, tf.int32)))

        return _batch(places, training.batch_size).map(take)

    return tf.data.Dataset.range(first, epochs).flat_map(list_groups).prefetch(1).flat_map(divide)


def _read(paths: tf.Tensor) -> tf.Tensor:
    """Return the numbers of some files, one file's after the other's.

    One file at a time: all of them as text and then as numbers would be in memory three times at once.
    """
    count = tf.size(paths)

    def add(place: tf.Tensor, parts: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
        numbers = tf.io.decode_raw(tf.io.read_file(paths[place]), tf.float32)
        return place + 1, parts.write(place, numbers)

    parts = tf.TensorArray(tf.float32, size=count, element_shape=[None], infer_shape=False)
    _, parts = tf.while_loop(
        lambda place, _: place < count, add, (tf.constant(0), parts), parallel_iterations=1
    )
    return parts.concat()


def _batch(places: tf.Tensor, rows: int) -> tf.data.Dataset:
    steps = (tf.size(places, tf.int64) + rows - 1) // rows

    @tf.autograph.experimental.do_not_convert
    def take(step: tf.Tensor) -> tf.Tensor:
        return places[step * rows : (step + 1) * rows]

    return tf.data.Dataset.range(steps).map(take)
