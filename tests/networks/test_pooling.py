"""Max pooling: Keras's numbers and gradients, and the right second derivative under XLA."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.networks.pooling import MaxPooling


def gradient(layer, x, upstream):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, training=True)
    return tape.gradient(y, x, upstream)


def second(layer, x, upstream, direction):
    with tf.GradientTape() as tape:
        tape.watch(upstream)
        first = gradient(layer, x, upstream)
    return tape.gradient(first, upstream, direction)


@pytest.fixture
def numbers(rng):
    """(x, upstream, direction): windows of 2x2 in which pixels are equal, or nearly so."""
    x = 1 + np.round(rng.normal(size=(6, 7, 4, 3))) * rng.choice([1e-3, 0], size=(6, 1, 1, 1))
    shapes = (6, 3, 2, 3), x.shape
    return [tf.constant(v, tf.float32) for v in (x, *(rng.normal(size=s) for s in shapes))]


def test_it_is_max_pooling(numbers):
    x, upstream, direction = numbers
    ours, theirs = MaxPooling(2), keras.layers.MaxPooling2D(2)
    for training in (False, True):
        np.testing.assert_array_equal(ours(x, training=training), theirs(x))
    np.testing.assert_array_equal(gradient(ours, x, upstream), gradient(theirs, x, upstream))
    # Linear in upstream: < gradient(upstream), direction > = < upstream, second >.
    product_of_ours = second(ours, x, upstream, direction)
    product = tf.reduce_sum(gradient(ours, x, upstream) * direction)
    np.testing.assert_allclose(tf.reduce_sum(upstream * product_of_ours), product, rtol=1e-5)


def test_xla_computes_the_same_second_derivative(numbers):
    def compiled(layer):
        function = tf.function(lambda *a: second(layer, *a), jit_compile=True, autograph=False)
        return function(*numbers)

    expected = second(MaxPooling(2), *numbers)
    np.testing.assert_allclose(compiled(MaxPooling(2)), expected, rtol=1e-5)
    # The reason for the layer: when this assertion fails, Keras's layer will do.
    assert not np.allclose(compiled(keras.layers.MaxPooling2D(2)), expected, rtol=1e-3)


def test_it_survives_its_configuration():
    layer = MaxPooling.from_config(MaxPooling(3, name="pool").get_config())
    assert layer.pool_size == (3, 3) and layer.name == "pool"
