"""The order in which training reads images: a pure function of (seed, step)."""

import numpy as np
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
        return tf.data.Dataset.from_tensor_slices(_order(count, seed, stream, epoch))

    epochs = tf.data.Dataset.range(first // count, tf.int64.max)
    return epochs.flat_map(permutation).skip(first % count).batch(batch, drop_remainder=True)


def table(count: int, batch: int, seed: int, stream: int, steps: int) -> np.ndarray:
    """The first batches of `positions`, in one array.

    Args:
      count, batch, seed, stream: as for `positions`.
      steps: how many batches.

    Returns:
      uint16 [steps, batch], or uint32 if there are more than 2^16 images.
    """
    dtype = np.uint16 if count <= 1 << 16 else np.uint32
    epochs = -(-steps * batch // count)
    orders = [_order(count, seed, stream, e).numpy().astype(dtype) for e in range(epochs)]
    return np.concatenate([np.empty(0, dtype), *orders])[: steps * batch].reshape(steps, batch)


def _order(count, seed, stream, epoch):
    key = random.key(seed, stream, epoch)
    return tf.random.experimental.stateless_shuffle(tf.range(count, dtype=tf.int64), key)
