"""Random numbers that are a function of a seed alone, with XLA the same as without it.

A seed is an integer tensor [2]. TensorFlow's own samplers are given bits only: XLA makes other
numbers of the same bits, and has no sampler of the beta distribution at all.
"""

import math

import tensorflow as tf


def uniform(seed, shape, dtype=tf.float32):
    """Uniform draws in (0, 1): multiples of 2^-23, and 1e-30 in place of 0.

    Args:
      seed: integer tensor [2].
      shape: list of int, or an integer tensor.
      dtype: floating dtype.

    Returns:
      Tensor of `shape` and `dtype`.
    """
    bits = tf.random.stateless_uniform(shape, seed, None, None, tf.uint32, alg="philox")
    return tf.maximum(tf.cast(bits & 0x7FFFFF, dtype) * 2.0**-23, 1e-30)


def normal(seed, shape, dtype=tf.float32):
    """Standard normal draws, by Box and Muller; arguments as for `uniform`."""
    shape = tf.concat([[2], shape], 0) if tf.is_tensor(shape) else [2, *shape]
    length, angle = tf.unstack(uniform(seed, shape, dtype))
    return tf.sqrt(-2 * tf.math.log(length)) * tf.cos(2 * math.pi * angle)


def beta(seed, shape, alpha, dtype=tf.float32):
    """Draws from Beta(alpha, alpha), in closed form.

        Y = (1 + sqrt(1 - U1^(2 / (2 alpha + 1))) cos(2 pi U2)) / 2,  which is Beta(alpha + 1)
        X = Y U3^(1/alpha) / (Y U3^(1/alpha) + (1 - Y) U4^(1/alpha))

    Devroye 1986, chapter IX: Ulrich's formula for symmetric beta variates, and gamma variates of
    a parameter above 0 from those of a parameter above 1.

    Args:
      seed, shape, dtype: as for `uniform`; shape is a list.
      alpha: float above 0.

    Returns:
      Tensor in [0, 1].
    """
    u = tf.unstack(uniform(seed, [4, *shape], dtype))
    centred = tf.sqrt(1 - u[0] ** (2 / (2 * alpha + 1))) * tf.cos(2 * math.pi * u[1])
    logit = tf.math.log1p(centred) - tf.math.log1p(-centred)
    return tf.sigmoid(logit + (tf.math.log(u[2]) - tf.math.log(u[3])) / alpha)


def permutation(seed, count):
    """int32 [count], a random order of 0 to count - 1; `count` is an int."""
    return tf.argsort(uniform(seed, [count]), stable=True)
