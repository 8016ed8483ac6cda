"""Random numbers that are a function of a seed."""

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from mpl_tf.formulas import random

SEED = tf.constant([3, 4], tf.int64)
SAMPLERS = {
    "uniform": lambda seed: random.uniform(seed, [64]),
    "normal": lambda seed: random.normal(seed, [64]),
    "beta": lambda seed: random.beta(seed, [64], 0.75),
    "permutation": lambda seed: random.permutation(seed, 64),
}


@pytest.mark.parametrize("name", SAMPLERS)
def test_xla_draws_the_same(name):
    plain = SAMPLERS[name](SEED)
    compiled = tf.function(SAMPLERS[name], jit_compile=True)(SEED)
    np.testing.assert_allclose(compiled, plain, rtol=0, atol=2e-6)
    assert not np.array_equal(plain, SAMPLERS[name](SEED + [0, 1]))


@pytest.mark.parametrize("alpha", [0.3, 0.5, 0.75, 1.0, 4.0])
def test_beta_is_beta(alpha):
    drawn = random.beta(SEED, [20_000], alpha, tf.float64).numpy()
    assert scipy.stats.kstest(drawn, scipy.stats.beta(alpha, alpha).cdf).pvalue > 0.01


def test_normal_is_normal_in_any_shape():
    drawn = random.normal(SEED, [100, 200], tf.float64).numpy()
    assert scipy.stats.kstest(drawn.ravel(), "norm").pvalue > 0.01
    again = random.normal(SEED, tf.constant([100, 200]), tf.float64)  # a dynamic one
    np.testing.assert_array_equal(again, drawn)


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
def test_sixteen_bits_hold_what_more_bits_draw(dtype):
    for draw in (random.uniform, random.normal, lambda *args: random.beta(*args[:2], 0.5, args[2])):
        narrow = draw(SEED, [20_000], dtype)
        assert narrow.dtype == dtype
        wide = draw(SEED, [20_000], tf.float32)
        np.testing.assert_allclose(tf.cast(narrow, tf.float32), wide, rtol=2**-8, atol=2**-13)
    drawn = tf.cast(random.uniform(SEED, [20_000], dtype), tf.float32)
    assert tf.reduce_min(drawn) > 0 and tf.reduce_max(drawn) < 1


def test_a_permutation_has_every_number_once():
    orders = [random.permutation(SEED + [0, i], 5).numpy() for i in range(200)]
    assert all(sorted(order) == [0, 1, 2, 3, 4] for order in orders)
    assert abs(np.mean(orders, axis=0) - 2).max() < 0.4  # no position prefers a number


def test_a_key_folds_the_step_into_seed_and_stream():
    """The same for a Python number and a tensor, in a graph too; and what it is made of."""
    expected = tf.random.experimental.stateless_fold_in(
        tf.constant([3, 4], tf.int64), tf.constant(7, tf.int64)
    )
    compiled = tf.function(lambda step: random.key(3, 4, step))
    for key in (random.key(3, 4, 7), random.key(3, 4, tf.constant(7)), compiled(tf.constant(7))):
        assert key.dtype == tf.int64
        np.testing.assert_array_equal(key, expected)


def test_keys_of_other_seeds_streams_and_steps_differ():
    keys = [random.key(*numbers).numpy().tobytes() for numbers in np.ndindex(3, 3, 3)]
    assert len(set(keys)) == 27
