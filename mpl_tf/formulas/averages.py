"""Exponential moving averages, and the bias of where they start: pure functions."""

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


def mean_decay(count: tf.Tensor, decay: float, dtype: tf.DType = tf.float32) -> tf.Tensor:
    """The decay with which a moving average is the plain mean of its first values.

        min(decay, count / (count + 1))

    The start is forgotten with the first value. From 1 / (1 - decay) values on it is `decay`.

    >>> [float(mean_decay(tf.constant(count), 0.75)) for count in (0, 1, 3, 100)]
    [0.0, 0.5, 0.75, 0.75]

    Args:
      count: integer scalar, at least 0, the number of values in the average.
      decay: in [0, 1).
      dtype: of the result.

    Returns:
      Scalar of `dtype`.
    """
    count = tf.cast(count, dtype)
    return tf.minimum(tf.constant(decay, dtype), count / (count + 1))
