"""Predictions accumulated image by image: pure functions (Laine & Aila 2017, section 2.2)."""

import tensorflow as tf


def accumulate(sums, visits, index, probs, decay):
    """Adds one prediction for each image to what was accumulated for it.

        sums_i   <- decay * sums_i + (1 - decay) * probs_i
        visits_i <- visits_i + 1

    An image that is in the batch twice is added once, with the mean of its predictions.

    Args:
      sums: floating [N, K], what was accumulated, 0 at first.
      visits: integer [N], how often, 0 at first.
      index: integer [U], which images are seen, from 0 to N - 1.
      probs: floating [U, K], their predictions, of the dtype of `sums`.
      decay: float in [0, 1), the paper's alpha.

    Returns:
      (sums, visits), as they are afterwards.
    """
    times = tf.math.unsorted_segment_sum(tf.ones_like(index), index, sums.shape[0])
    total = tf.math.unsorted_segment_sum(probs, index, sums.shape[0])
    mean = tf.math.divide_no_nan(total, tf.cast(times, sums.dtype)[:, None])
    seen = times > 0
    moved = tf.where(seen[:, None], decay * sums + (1 - decay) * mean, sums)
    return moved, visits + tf.cast(seen, visits.dtype)


def corrected(sums, visits, decay):
    """The mean prediction: sums over the weight that went into them, `1 - decay^visits`.

    Args:
      sums: floating [U, K].
      visits: integer [U].
      decay: float in [0, 1).

    Returns:
      [U, K], rows sum to 1; rows without a visit are 0.
    """
    weight = 1 - tf.pow(tf.cast(decay, sums.dtype), tf.cast(visits, sums.dtype))
    return tf.math.divide_no_nan(sums, weight[:, None])
