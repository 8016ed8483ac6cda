"""The credit of pseudo labels in few digits."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mpl_tf import networks
from mpl_tf.engine.forward import Forward
from mpl_tf.engine.lesson import Beside, Lesson
from mpl_tf.formulas import losses

SHAPE, K, U = (8, 8, 1), 4, 12


def credit(precision, loss_scale, forward, length=1.0):
    """The credit [U, K] along a fixed direction, of one network in some precision."""
    numbers = np.random.default_rng(0)
    with networks.precision(precision):
        network = networks.NETWORKS["small"](K, SHAPE, seed=1, dropout=0.0)
    images = tf.constant(numbers.uniform(0, 255, (U, *SHAPE)), tf.float32)
    label = tf.nn.softmax(tf.constant(numbers.normal(size=(U, K)), tf.float32))
    scale = None if loss_scale is None else tf.constant(loss_scale)
    lesson = Lesson(forward, network, images, label, 0.1, scale)
    direction = [numbers.normal(size=v.shape) for v in network.trainable_variables]
    norm = np.sqrt(sum(np.sum(d**2) for d in direction))
    direction = [tf.constant(length * d / norm, tf.float32) for d in direction]
    return lesson.credit(direction).numpy()


def cosine(a, b):
    return np.sum(a * b) / np.linalg.norm(a) / np.linalg.norm(b)


@pytest.mark.parametrize("forward", [Forward(), Forward(accumulate_steps=2)], ids=["whole", "cut"])
@pytest.mark.parametrize("length", [1e-3, 1.0, 30.0])
def test_float16_agrees_with_float32_at_the_scale_that_training_starts_with(forward, length):
    start = float(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD()).initial_scale)
    assert start >= 2.0**13
    exact = credit("float32", None, forward, length)
    narrow = credit("float16", start, forward, length)
    assert np.isfinite(narrow).all()
    assert cosine(narrow, exact) > 0.995
    assert np.linalg.norm(narrow) == pytest.approx(np.linalg.norm(exact), rel=0.03)


def test_a_direction_of_length_0_has_no_credit():
    np.testing.assert_array_equal(credit("float16", 1024.0, Forward(), 0.0), 0)


def test_the_credit_is_the_same_by_microbatches_where_labels_are_learned_beside():
    numbers = np.random.default_rng(0)
    network = keras.Sequential(
        [keras.Input([5]), keras.layers.Dense(6, "tanh"), keras.layers.Dense(K)]
    )
    images, labeled = (tf.constant(numbers.normal(size=(n, 5)), tf.float32) for n in (U, 4))
    beside = Beside(
        labeled,
        tf.constant([0, 1, 2, 3]),
        lambda label, z: tf.reduce_mean(losses.label_loss(label, z)),
    )
    taught = tf.nn.softmax(tf.constant(numbers.normal(size=(U, K)), tf.float32))
    direction = [tf.constant(numbers.normal(size=v.shape), tf.float32) for v in network.weights]
    whole, cut = (
        Lesson(forward, network, images, taught, 0.1, None, beside)
        for forward in (Forward(), Forward(accumulate_steps=2))
    )
    credit_of_whole = whole.credit(direction).numpy()
    np.testing.assert_allclose(credit_of_whole, cut.credit(direction), atol=1e-6)
    for a, b in zip(whole.gradient, cut.gradient, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    alone = Lesson(Forward(), network, images, taught, 0.1)
    np.testing.assert_allclose(credit_of_whole, alone.credit(direction), atol=1e-6)
    assert np.abs(whole.gradient[0] - alone.gradient[0]).max() > 0.01
