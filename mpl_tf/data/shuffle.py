"""The order in which training reads images: a pure function of (seed, step)."""

import tensorflow as tf

from mpl_tf.formulas import random


def positions(count: int, batch: int, seed: int, stream: int, start: int) -> tf.data.Dataset:
    """Endless positions of batches `start`, `start + 1`, ...: a fresh permutation an epoch.

    Batches wrap from one epoch into the next. Starting late costs no more than starting at 0.

    Args:
      count: number of images, at least 1.
      batch: images a batch.
      seed: of the run.
      stream: which of the run's random streams.
      start: the first batch.

    Returns:
      tf.data.Dataset of int64 [batch], from 0 to `count` - 1.
    """
    first = start * batch

    def permutation(epoch):
        key = random.key(seed, stream, epoch)
        order = tf.random.experimental.stateless_shuffle(tf.range(count, dtype=tf.int64), key)
        return tf.data.Dataset.from_tensor_slices(order)

    epochs = tf.data.Dataset.range(first // count, tf.int64.max)
    return epochs.flat_map(permutation).skip(first % count).batch(batch, drop_remainder=True)
