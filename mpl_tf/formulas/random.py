"""Random numbers that are a function of a seed alone, with XLA the same as without it.

A seed, or key, is an integer tensor [2]. There are two ways to one:

- `key(seed, stream, step)` for what is drawn outside of a training step: orders, views. The run's
  seed and the number of a stream, with the step (or epoch) folded in.
- `(seed, 8 * step + n)`, n from 0 to 7, inside a training step, where one method draws alone: see
  `engine.method.Method.draw_seed`.

TensorFlow's own samplers are given bits only: XLA makes other numbers of the same bits, and has no
sampler of the beta distribution at all.
"""

import math
from collections.abc import Sequence

import tensorflow as tf

# Of types of 16 bits: the least normal value above 0, at least 1e-30, and the greatest below 1.
_ENDS = {tf.float16: (2.0**-14, 1 - 2.0**-11), tf.bfloat16: (1e-30, 1 - 2.0**-8)}


def key(seed: int, stream: int, step: tf.Tensor | int) -> tf.Tensor:
    """The key of one step of one random stream of a run.

        fold_in((seed, stream), step)

    >>> first, again, other = key(0, 3, 7), key(0, 3, 7), key(0, 3, 8)
    >>> bool(tf.reduce_all(first == again)), bool(tf.reduce_all(first == other))
    (True, False)

    Args:
      seed: of the run.
      stream: which of the run's streams, such as one view's.
      step: integer scalar, at least 0: a step, or an epoch.

    Returns:
      int64 [2].
    """
    run = tf.constant([seed, stream], tf.int64)
    # The cast matters: a Python number would be int32, which gives another key than int64.
    return fold_in(run, tf.cast(step, tf.int64))


def fold_in(seed: tf.Tensor, index: tf.Tensor | int) -> tf.Tensor:
    """A key derived from a key and a number; different numbers give independent keys.

    >>> parent = tf.constant([3, 4], tf.int64)
    >>> bool(tf.reduce_all(fold_in(parent, 0) == fold_in(parent, 1)))
    False

    Args:
      seed: integer tensor [2].
      index: integer scalar; its dtype counts: int32, which a Python number is, and int64 give
        different keys.

    Returns:
      Tensor [2] of the dtype of `seed`.
    """
    # The generator is named: the default is another one under XLA.
    return tf.random.experimental.stateless_fold_in(seed, index, alg="philox")


def uniform(
    seed: tf.Tensor, shape: Sequence[int] | tf.Tensor, dtype: tf.DType = tf.float32
) -> tf.Tensor:
    """Uniform draws in (0, 1): multiples of 2^-23, and 1e-30 in place of 0.

    In 16 bits they are these, rounded, and no nearer to 0 and 1 than the type can tell.

    >>> draws = uniform(tf.constant([3, 4]), [1000])
    >>> bool(tf.reduce_all((draws > 0) & (draws < 1)))
    True

    Args:
      seed: integer tensor [2].
      shape: integers, or an integer tensor.
      dtype: floating.

    Returns:
      Tensor of `shape` and `dtype`.
    """
    bits = tf.random.stateless_uniform(shape, seed, None, None, tf.uint32, alg="philox")
    drawn = tf.maximum(tf.cast(bits & 0x7FFFFF, _wide(dtype)) * 2.0**-23, 1e-30)
    if dtype not in _ENDS:
        return drawn
    least, greatest = _ENDS[dtype]
    return tf.cast(tf.clip_by_value(drawn, least, greatest), dtype)


def normal(
    seed: tf.Tensor, shape: Sequence[int] | tf.Tensor, dtype: tf.DType = tf.float32
) -> tf.Tensor:
    """Standard normal draws (Box and Muller 1958); arguments as for `uniform`.

        sqrt(-2 log U1) * cos(2 pi U2)

    >>> round(float(tf.math.reduce_std(normal(tf.constant([3, 4]), [10_000]))), 1)
    1.0
    """
    shape = tf.concat([[2], shape], 0) if tf.is_tensor(shape) else [2, *shape]
    length, angle = tf.unstack(uniform(seed, shape, _wide(dtype)))
    return tf.cast(tf.sqrt(-2 * tf.math.log(length)) * tf.cos(2 * math.pi * angle), dtype)


def beta(
    seed: tf.Tensor, shape: Sequence[int], alpha: float, dtype: tf.DType = tf.float32
) -> tf.Tensor:
    """Draws from Beta(alpha, alpha), in closed form.

        Y = (1 + sqrt(1 - U1^(2 / (2 alpha + 1))) cos(2 pi U2)) / 2,  which is Beta(alpha + 1)
        X = Y U3^(1/alpha) / (Y U3^(1/alpha) + (1 - Y) U4^(1/alpha))

    Devroye 1986, chapter IX: Ulrich's formula for symmetric beta variates, and gamma variates of
    a parameter above 0 from those of a parameter above 1.

    >>> round(float(tf.reduce_mean(beta(tf.constant([3, 4]), [10_000], 0.5))), 1)
    0.5

    Args:
      seed: integer tensor [2].
      shape: integers.
      alpha: above 0.
      dtype: floating.

    Returns:
      Tensor of `shape` and `dtype`, in [0, 1].
    """
    u = tf.unstack(uniform(seed, [4, *shape], _wide(dtype)))
    centred = tf.sqrt(1 - u[0] ** (2 / (2 * alpha + 1))) * tf.cos(2 * math.pi * u[1])
    logit = tf.math.log1p(centred) - tf.math.log1p(-centred)
    drawn = tf.sigmoid(logit + (tf.math.log(u[2]) - tf.math.log(u[3])) / alpha)
    return tf.cast(drawn, dtype)


def permutation(seed: tf.Tensor, count: int) -> tf.Tensor:
    """A random order of 0 to count - 1, int32 [count].

    >>> sorted(permutation(tf.constant([3, 4]), 5).numpy().tolist())
    [0, 1, 2, 3, 4]
    """
    return tf.argsort(uniform(seed, [count]), stable=True)


def _wide(dtype: tf.DType) -> tf.DType:
    """The type in which draws are computed: 16 bits hold too few numbers."""
    return tf.float32 if dtype in _ENDS else dtype
