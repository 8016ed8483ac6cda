"""Losses against numbers worked out by hand."""

import math

import numpy as np
import tensorflow as tf

from mpl_tf.formulas import losses

LOGITS = tf.constant([[0.0, math.log(3.0)], [math.log(4.0), 0.0]])  # probabilities 1/4 3/4, 4/5 1/5


def test_cross_entropy_by_hand():
    target = tf.constant([[1.0, 0.0], [0.5, 0.5]])
    expected = [math.log(4), -0.5 * math.log(0.8) - 0.5 * math.log(0.2)]
    np.testing.assert_allclose(losses.cross_entropy(target, LOGITS), expected, rtol=1e-6)


def test_cross_entropy_is_differentiable_through_the_target_twice():
    """d/dq of (d/dz CE) is -I + softmax * sum(q); the fused TensorFlow loss says 0."""
    logits, target = tf.constant([[0.3, -0.2, 0.1]]), tf.constant([[0.2, 0.5, 0.3]])

    def second(loss):
        with tf.GradientTape() as outer:
            outer.watch(target)
            with tf.GradientTape() as inner:
                inner.watch(logits)
                value = tf.reduce_sum(loss(target, logits))
            gradient = inner.gradient(value, logits)[0, 0]
        return outer.gradient(gradient, target, unconnected_gradients="zero").numpy()

    first_class = tf.nn.softmax(logits)[0, 0].numpy()
    np.testing.assert_allclose(
        second(losses.cross_entropy), [[first_class - 1, first_class, first_class]], rtol=1e-6
    )
    assert not second(tf.nn.softmax_cross_entropy_with_logits).any()  # the trap, on record


def test_smoothing_by_hand():
    np.testing.assert_allclose(
        losses.one_hot(tf.constant([2]), 4, smoothing=0.2), [[0.05, 0.05, 0.85, 0.05]], rtol=1e-6
    )
    probs = tf.constant([[0.1, 0.9]])
    assert losses.smooth(probs, 0.0) is probs


def test_sharpening_by_hand():
    # 1/4 : 3/4 at temperature 0.5 is 1 : 9.
    np.testing.assert_allclose(losses.sharpen(LOGITS, 0.5)[0], [0.1, 0.9], rtol=1e-6)


def test_mask_keeps_the_threshold_itself():
    probs = tf.constant([[0.5, 0.5], [0.75, 0.25]])
    np.testing.assert_array_equal(losses.confidence_mask(probs, 0.75), [0, 1])
    np.testing.assert_array_equal(losses.confidence_mask(probs, 0.0), [1, 1])
    np.testing.assert_array_equal(losses.confidence_mask(probs, 1.01), [0, 0])


def test_consistency_by_hand_and_its_gradient_reaches_the_strong_view_only():
    strong = tf.zeros([2, 2])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([LOGITS, strong])
        loss, mask = losses.consistency(LOGITS, strong, temperature=1.0, threshold=0.78)
        total = tf.reduce_sum(loss)
    np.testing.assert_array_equal(mask, [0, 1])
    np.testing.assert_allclose(loss, [0, math.log(2)], rtol=1e-6)
    assert tape.gradient(total, LOGITS) is None
    np.testing.assert_allclose(tape.gradient(total, strong), [[0, 0], [-0.3, 0.3]], atol=1e-6)


def test_squared_error_and_entropy_by_hand(rng):
    z, other = rng.normal(size=(4, 3)), rng.dirichlet(np.ones(3), size=4)
    probs = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    error = losses.squared_error(probs, other)
    np.testing.assert_allclose(error, ((probs - other) ** 2).sum(axis=1) / 3, atol=1e-12)
    entropy = -(probs * np.log(probs)).sum(axis=1)
    np.testing.assert_allclose(losses.entropy(tf.constant(z)), entropy, atol=1e-12)


def test_divergence_by_hand(rng):
    z, other = rng.normal(size=(2, 4, 3))
    p, q = (np.exp(x) / np.exp(x).sum(axis=1, keepdims=True) for x in (z, other))
    expected = (p * np.log(p / q)).sum(axis=1)
    divergence = losses.divergence(tf.constant(z), tf.constant(other))
    np.testing.assert_allclose(divergence, expected, atol=1e-12)
    np.testing.assert_array_equal(losses.divergence(tf.constant(z), tf.constant(z)), np.zeros(4))


def test_alignment_by_hand():
    aligned = losses.align(
        tf.constant([[0.5, 0.3, 0.2]], tf.float64),
        tf.constant([0.5, 0.25, 0.25], tf.float64),
        tf.constant([0.25, 0.25, 0.5], tf.float64),
    )
    weighted = np.array([0.5 * 2, 0.3, 0.2 / 2])
    np.testing.assert_allclose(aligned[0], weighted / weighted.sum(), atol=1e-5)


def test_loss_on_labels_is_cross_entropy_with_the_smoothed_label():
    got = losses.label_loss(tf.constant([1, 0]), LOGITS, 0.2)
    expected = [
        -0.9 * math.log(0.75) - 0.1 * math.log(0.25),
        -0.9 * math.log(0.8) - 0.1 * math.log(0.2),
    ]
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_most_probable_class_is_one_hot():
    np.testing.assert_array_equal(losses.most_probable(LOGITS), [[0, 1], [1, 0]])


def test_confidence_is_that_of_the_sharpened_target_or_of_the_prediction():
    for sharpened, counts in ((True, [1, 1]), (False, [0, 1])):  # 3/4 sharpened at 0.5 is 9/10
        _, mask = losses.consistency(LOGITS, LOGITS, 0.5, 0.78, sharpened)
        np.testing.assert_array_equal(mask, counts)
