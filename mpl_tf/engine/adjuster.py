"""A small network that adjusts distributions over classes."""

import keras
import numpy as np
import tensorflow as tf

from mpl_tf.engine.forward import to_float32

# What float16 rounds to 0 counts as the least number above 0 that it has.
LEAST = 2.0**-24


def build(student: keras.Model, layers: int, units: int, seed: int) -> keras.Model:
    """An MLP from a distribution [N, K] to changes of its logarithms [N, K], which are 0 at first.

    Hidden layers are ReLU with Glorot weights; the last layer begins at 0. Source: this project.

    Args:
      student: of logits [N, K], in whose type it computes, float32 if that has 16 bits.
      layers: hidden ones, at least 1.
      units: of each of them, at least 1.
      seed: of the hidden weights.

    Example:
        import numpy as np
        student = mpl_tf.NETWORKS["mlp"](3, (4, 4, 1))
        shift = mpl_tf.engine.adjuster.build(student, layers=1, units=8, seed=0)
        assert not np.any(shift(np.array([[0.7, 0.2, 0.1]])))
    """
    dtype = to_float32(tf.zeros((), student.outputs[0].dtype)).dtype.name
    num_classes = student.output_shape[-1]
    seeds = np.random.default_rng(seed).integers(2**31, size=layers)
    x = inputs = keras.Input([num_classes], dtype=dtype)
    for number in seeds:
        start = keras.initializers.GlorotUniform(seed=int(number))
        x = keras.layers.Dense(units, "relu", kernel_initializer=start, dtype=dtype)(x)
    last = keras.layers.Dense(num_classes, kernel_initializer="zeros", dtype=dtype)
    return keras.Model(inputs, last(x), name="adjuster")


def logarithms(probs: tf.Tensor) -> tf.Tensor:
    """log p of distributions [N, K] that come from float16: finite also where p was rounded to 0.

    Args:
      probs: floating, from 0 to 1.
    """
    return tf.math.log(tf.maximum(probs, tf.cast(LEAST, probs.dtype)))


def moved(probs: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """The probability that an adjustment moves to other classes, floating [N], from 0 to 1.

        sum_k |p_k - softmax(z)_k| / 2        the total variation distance

    Args:
      probs: floating [N, K], distributions p before it.
      logits: floating [N, K], z of those after it.
    """
    return tf.reduce_sum(tf.abs(probs - tf.nn.softmax(logits)), axis=-1) / 2
