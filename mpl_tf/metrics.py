"""Keras metrics of a window of steps that Keras does not have."""

from typing import final

import keras
import tensorflow as tf


class _Moments(keras.metrics.Metric):
    """Abstract: sums of scalars and of their squares; `result` is made of them."""

    def __init__(self, name):
        super().__init__(name=name)
        for sum_of in ("count", "total", "squares"):
            variable = self.add_variable((), "zeros", dtype="float32", name=sum_of)
            setattr(self, sum_of, variable)

    def update_state(self, value):
        """Takes in one scalar."""
        value = tf.cast(value, tf.float32)
        self.count.assign_add(1.0)
        self.total.assign_add(value)
        self.squares.assign_add(value**2)

    def moments(self):
        """(mean, standard deviation) of what was taken in; 0 before the first value."""
        count = tf.maximum(tf.convert_to_tensor(self.count), 1.0)
        mean = self.total / count
        return mean, tf.sqrt(tf.maximum(self.squares / count - mean**2, 0.0))


@final
class Deviation(_Moments):
    """Standard deviation of a scalar."""

    def result(self):
        return self.moments()[1]


@final
class SignalToNoise(_Moments):
    """`|mean| / standard deviation` of a scalar; 0 where it does not vary."""

    def result(self):
        mean, deviation = self.moments()
        return tf.math.divide_no_nan(tf.abs(mean), deviation)


@final
class ClassShares(keras.metrics.Metric):
    """Mean of distributions over K classes: the share of each class among labels.

    Args:
      num_classes: int, K.
      name: str.
    """

    def __init__(self, num_classes, name):
        super().__init__(name=name)
        self.mass = self.add_variable((num_classes,), "zeros", dtype="float32", name="mass")

    def update_state(self, probs):
        """Takes in distributions [..., K], hard or soft."""
        flat = tf.reshape(probs, [-1, probs.shape[-1]])
        self.mass.assign_add(tf.reduce_sum(tf.cast(flat, tf.float32), axis=0))

    def result(self):
        """float32 [K] that sums to 1, or all 0 before the first update."""
        return tf.math.divide_no_nan(tf.convert_to_tensor(self.mass), tf.reduce_sum(self.mass))
