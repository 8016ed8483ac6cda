"""Convolutions in groups of channels, and pooling of windows that share pixels."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.networks.convolutions import GroupedConvolution, convolution
from mpl_tf.networks.pooling import OverlappingMaxPooling


def convolve(x, kernel):
    """[N, H, W, C], [3, 3, C, F] -> [N, H - 2, W - 2, F]."""
    high, wide = x.shape[1] - 2, x.shape[2] - 2
    return sum(x[:, i : i + high, j : j + wide] @ kernel[i, j] for i in range(3) for j in range(3))


@pytest.fixture
def numbers(rng):
    shapes = (2, 5, 4, 6), (3, 3, 2, 9)
    return [tf.constant(rng.normal(size=shape), tf.float32) for shape in shapes]


def test_each_group_of_channels_makes_its_part_of_the_output(numbers):
    x, kernel = (np.asarray(each) for each in numbers)
    layer = GroupedConvolution(9, 3, groups=3, use_bias=False)
    layer.build(x.shape)
    layer.kernel.assign(kernel)
    parts = [convolve(x[..., 2 * g : 2 * g + 2], kernel[..., 3 * g : 3 * g + 3]) for g in range(3)]
    np.testing.assert_allclose(layer(x), np.concatenate(parts, -1), rtol=1e-5, atol=1e-5)


def derivatives(layer, x, kernel):
    """y, the gradients of sum y^3, and those of the sum of their squares."""
    with tf.GradientTape() as outer:
        outer.watch([x, kernel])
        with tf.GradientTape() as tape:
            tape.watch([x, kernel])
            y = layer.convolution_op(x, kernel)
            loss = tf.reduce_sum(y**3)
        first = tape.gradient(loss, [x, kernel])
        size = sum(tf.reduce_sum(each**2) for each in first)
    return [y, *first, *outer.gradient(size, [x, kernel])]


def test_it_equals_keras_in_value_and_both_derivatives(numbers):
    ours, theirs = (
        layer(9, 3, groups=3, strides=2) for layer in (GroupedConvolution, keras.layers.Conv2D)
    )
    compiled = tf.function(derivatives, jit_compile=True)  # what Keras needs on a CPU
    expected = compiled(theirs, *numbers)
    for a, b in zip(derivatives(ours, *numbers), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(("side", "size", "expected"), [(6, 3, 3), (5, 3, 3), (6, 1, 3), (9, 7, 5)])
def test_zeros_stand_on_all_sides_alike(groups, side, size, expected):
    inputs = keras.Input((side, side, 2))
    strided, whole = (convolution(inputs, 4, size, 1, stride=s, groups=groups) for s in (2, 1))
    assert strided.shape == (None, expected, expected, 4)
    made = keras.Model(inputs, [strided, whole])
    x = np.random.default_rng(0).normal(size=(2, side, side, 2))
    a, b = made(x)
    np.testing.assert_allclose(a, b[:, ::2, ::2], rtol=1e-5, atol=1e-5)


def test_kernels_are_normal_with_variance_two_over_fan_out():
    inputs = keras.Input((4, 4, 64))
    for groups in (1, 4):
        network = keras.Model(inputs, convolution(inputs, 128, 3, seed=1, groups=groups))
        (kernel,) = network.get_weights()
        assert kernel.shape == (3, 3, 64 // groups, 128)
        assert kernel.std() == pytest.approx(np.sqrt(2 / (9 * 128)), rel=0.02)


@pytest.mark.parametrize("shape", [(2, 6, 7, 3), (2, 1, 8, 3)])
def test_overlapping_windows_are_those_of_max_pooling(shape, rng):
    x = tf.constant(rng.normal(size=shape), tf.float32)
    padded = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], constant_values=-np.inf)
    expected = tf.nn.max_pool2d(padded, 3, 2, "VALID")
    layer = OverlappingMaxPooling()
    np.testing.assert_array_equal(layer(x), expected)
    assert layer.compute_output_shape(shape) == tuple(expected.shape)


def test_overlapping_windows_have_the_gradient_of_max_pooling(rng):
    x = tf.Variable(rng.normal(size=(2, 6, 7, 3)))
    with tf.GradientTape(persistent=True) as tape:
        ours = OverlappingMaxPooling(dtype="float64")(x)
        padded = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], constant_values=-1e9)
        losses = [tf.reduce_sum(y**2) for y in (ours, tf.nn.max_pool2d(padded, 3, 2, "VALID"))]
    np.testing.assert_allclose(*(tape.gradient(loss, x) for loss in losses))
