"""Exponential moving averages, and the bias of those that start from 0: pure functions."""

import tensorflow as tf


def moving_average(
    average: tf.Tensor, value: tf.Tensor | float, decay: tf.Tensor | float
) -> tf.Tensor:
    """`decay * average + (1 - decay) * value`, in the dtype of `average`.

    >>> float(moving_average(tf.constant(2.0), 4.0, 0.75))
    2.5

    Args:
      average: floating tensor, the average so far.
      value: what is new, of a shape that broadcasts.
      decay: in [0, 1).

    Returns:
      Tensor like `average`.
    """
    return decay * average + (1 - decay) * tf.cast(value, average.dtype)


def debiased(average: tf.Tensor, count: tf.Tensor, decay: float) -> tf.Tensor:
    """A moving average that started from 0, over the weight of the values in it.

        average / (1 - decay ** count),  0 before the first value

    Kingma & Ba 2015, section 3; Laine & Aila 2017, section 2.2.

    >>> one = moving_average(tf.constant(0.0), 3.0, 0.875)
    >>> float(debiased(one, tf.constant(1), 0.875)), float(debiased(one, tf.constant(0), 0.875))
    (3.0, 0.0)

    Args:
      average: floating tensor, as `moving_average` made it from 0.
      count: integer tensor of a shape that broadcasts, the number of values in it.
      decay: in [0, 1), the one it was made with.

    Returns:
      Tensor like `average`.
    """
    weight = 1 - tf.pow(tf.cast(decay, average.dtype), tf.cast(count, average.dtype))
    return tf.math.divide_no_nan(average, weight)
