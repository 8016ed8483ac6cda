"""Keras metrics of a window of steps that Keras does not have."""

from typing import final

import keras
import tensorflow as tf


class _Moments(keras.metrics.Metric):
    """Abstract: sums of scalars and of their squares; `result` is made of them."""

    def __init__(self, name: str):
        super().__init__(name=name)
        for sum_of in ("count", "total", "squares"):
            variable = self.add_variable((), "zeros", dtype="float32", name=sum_of)
            setattr(self, sum_of, variable)

    def update_state(self, value: tf.Tensor) -> None:
        """Takes in one scalar."""
        value = tf.cast(value, tf.float32)
        self.count.assign_add(1.0)
        self.total.assign_add(value)
        self.squares.assign_add(value**2)

    def moments(self) -> tuple[tf.Tensor, tf.Tensor]:
        """(mean, standard deviation) of what was taken in; 0 before the first value."""
        count = tf.maximum(tf.convert_to_tensor(self.count), 1.0)
        mean = self.total / count
        return mean, tf.sqrt(tf.maximum(self.squares / count - mean**2, 0.0))


@final
class Deviation(_Moments):
    """Standard deviation of a scalar."""

    def result(self) -> tf.Tensor:
        return self.moments()[1]


@final
class SignalToNoise(_Moments):
    """`|mean| / standard deviation` of a scalar; 0 where it does not vary."""

    def result(self) -> tf.Tensor:
        mean, deviation = self.moments()
        return tf.math.divide_no_nan(tf.abs(mean), deviation)


@final
class NamedMeans(keras.metrics.Metric):
    """Means of scalars, by names that turn up when a step is traced.

    A step says what it logs by logging it. Each new name takes the next place of one vector, in the
    order of the program: variables, and so checkpoints, are the same before and after.

    Args:
      name: of the metric.
      capacity: names that there is room for.
    """

    def __init__(self, name: str, capacity: int = 32):
        super().__init__(name=name)
        self.capacity = capacity
        self.totals = self.add_variable((capacity,), "zeros", dtype="float32", name="totals")
        self.counts = self.add_variable((capacity,), "zeros", dtype="float32", name="counts")
        self._places: dict[str, int] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """What has been logged so far, in the order of the first time."""
        return tuple(self._places)

    def names_with_values(self) -> tuple[str, ...]:
        """Those of `names` that have a mean: that were logged since the last reset."""
        counts = keras.ops.convert_to_numpy(self.counts)
        return tuple(name for name, place in self._places.items() if counts[place])

    def update_state(self, weight: tf.Tensor | float = 1.0, **values: tf.Tensor) -> None:
        """Takes in one scalar for each name.

        Args:
          weight: how much they count; with 0 they do not.
          **values: the scalars.

        Raises:
          ValueError: there are more names than `capacity`.
        """
        for name in values:
            self._places.setdefault(name, len(self._places))
        if len(self._places) > self.capacity:
            raise ValueError(f"a step may log {self.capacity} values; received {self.names}.")
        places = [[self._places[name]] for name in values]
        scalars = tf.stack([tf.cast(value, tf.float32) for value in values.values()])
        weights = tf.ones_like(scalars) * tf.cast(weight, tf.float32)
        self.totals.assign_add(tf.scatter_nd(places, weights * scalars, [self.capacity]))
        self.counts.assign_add(tf.scatter_nd(places, weights, [self.capacity]))

    def result(self) -> dict[str, tf.Tensor]:
        """dict of name -> mean since the last reset; 0 before the first value."""
        means = tf.math.divide_no_nan(
            tf.convert_to_tensor(self.totals), tf.convert_to_tensor(self.counts)
        )
        return {name: means[place] for name, place in self._places.items()}


@final
class ClassShares(keras.metrics.Metric):
    """Mean of distributions over K classes: the share of each class among labels.

    Args:
      num_classes: K.
      name: of the metric.
    """

    def __init__(self, num_classes: int, name: str):
        super().__init__(name=name)
        self.mass = self.add_variable((num_classes,), "zeros", dtype="float32", name="mass")

    def update_state(self, probs: tf.Tensor) -> None:
        """Takes in distributions [..., K], hard or soft."""
        flat = tf.reshape(probs, [-1, probs.shape[-1]])
        self.mass.assign_add(tf.reduce_sum(tf.cast(flat, tf.float32), axis=0))

    def result(self) -> tf.Tensor:
        """float32 [K] that sums to 1, or all 0 before the first update."""
        return tf.math.divide_no_nan(tf.convert_to_tensor(self.mass), tf.reduce_sum(self.mass))
