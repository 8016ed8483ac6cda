"""Predictions accumulated image by image: pure functions (Laine & Aila 2017, section 2.2)."""

import tensorflow as tf

from mpl_tf.formulas import averages


def accumulate(
    sums: tf.Tensor, visits: tf.Tensor, index: tf.Tensor, probs: tf.Tensor, decay: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """Adds one prediction for each image to what was accumulated for it.

        sums_i   <- decay * sums_i + (1 - decay) * probs_i
        visits_i <- visits_i + 1

    An image that is in the batch twice is added once, with the mean of its predictions.
    `averages.debiased(sums, visits[:, None], decay)` is the mean prediction.

    >>> sums, visits = tf.zeros([2, 2]), tf.zeros([2], tf.int32)
    >>> sums, visits = accumulate(sums, visits, tf.constant([1]), tf.constant([[0.25, 0.75]]), 0.5)
    >>> sums.numpy().tolist(), visits.numpy().tolist()
    ([[0.0, 0.0], [0.125, 0.375]], [0, 1])

    Args:
      sums: floating [N, K], what was accumulated, 0 at first.
      visits: integer [N], how often, 0 at first.
      index: integer [U], which images are seen, from 0 to N - 1.
      probs: floating [U, K], their predictions, of the dtype of `sums`.
      decay: in [0, 1), the paper's alpha.

    Returns:
      (sums, visits), as they are afterwards.
    """
    times = tf.math.unsorted_segment_sum(tf.ones_like(index), index, sums.shape[0])
    total = tf.math.unsorted_segment_sum(probs, index, sums.shape[0])
    mean = tf.math.divide_no_nan(total, tf.cast(times, sums.dtype)[:, None])
    seen = times > 0
    moved = tf.where(seen[:, None], averages.moving_average(sums, mean, decay), sums)
    return moved, visits + tf.cast(seen, visits.dtype)


def mean_of_same(index: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """The mean of all rows of the same index, in the place of each of them.

    >>> mean_of_same(tf.constant([7, 2, 7]), tf.constant([[1.0], [5.0], [3.0]])).numpy().tolist()
    [[2.0], [5.0], [2.0]]

    Args:
      index: integer [U].
      rows: floating [U, D].

    Returns:
      Tensor like `rows`.
    """
    order = tf.argsort(index, stable=True)
    ordered = tf.gather(index, order)
    is_new = tf.concat(
        [tf.zeros_like(order[:1]), tf.cast(ordered[1:] != ordered[:-1], order.dtype)], 0
    )
    group = tf.scatter_nd(order[:, None], tf.cumsum(is_new), tf.shape(order))  # [U], from 0 on
    count = tf.shape(index)[0]
    times = tf.math.unsorted_segment_sum(tf.ones_like(rows[:, :1]), group, count)
    total = tf.math.unsorted_segment_sum(rows, group, count)
    return tf.gather(tf.math.divide_no_nan(total, times), group)
