"""Thresholds, shares and balance of classes by hand."""

import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.formulas import thresholds


def test_self_adaptive_thresholds_by_hand():
    probs = tf.constant([0.5, 0.25, 0.25])
    np.testing.assert_allclose(thresholds.self_adaptive(0.8, probs), [0.8, 0.4, 0.4], rtol=1e-6)
    clipped = thresholds.self_adaptive(0.8, probs, 0.5, 0.7)
    np.testing.assert_allclose(clipped, [0.7, 0.5, 0.5], rtol=1e-6)
    predictions = tf.constant([[0.69, 0.31, 0.0], [0.5, 0.0, 0.5], [0.2, 0.3, 0.5]])
    np.testing.assert_array_equal(thresholds.above(predictions, clipped), [0, 0, 1])


def test_fairness_has_the_sign_of_the_paper():
    """The negated cross entropy, which is lower for predictions unlike the expected ones."""
    even, shares = tf.constant([0.5, 0.5]), tf.constant([0.5, 0.5])
    spread = thresholds.fairness(even, shares, tf.constant([0.5, 0.5]), shares)
    assert float(spread) == pytest.approx(np.log(0.5))
    lopsided = thresholds.fairness(even, shares, tf.constant([0.8, 0.2]), shares)
    assert float(lopsided) == pytest.approx(0.5 * np.log(0.8) + 0.5 * np.log(0.2), abs=1e-6)


def test_fairness_of_nothing_is_nothing():
    even, nothing = tf.constant([0.5, 0.5]), tf.zeros(2)
    with tf.GradientTape() as tape:
        tape.watch(nothing)
        value = thresholds.fairness(even, even, nothing, tf.zeros(2))
    assert float(value) == 0.0
    assert not np.any(tape.gradient(value, nothing))


def test_curriculum_by_hand():
    learned = tf.constant([0, 0, 0, 0, 1, 1, -1, -1, -1, -1, -1, -1, -1, -1])
    half, quarter = 0.9 / 3, 0.9 / 7  # b / (2 - b) of 1/2 and of 1/4
    np.testing.assert_allclose(
        thresholds.curriculum(learned, 3, 0.9, True, "convex"), [half, quarter, 0], rtol=1e-6
    )
    np.testing.assert_allclose(
        thresholds.curriculum(learned, 3, 0.9, False, "convex"), [0.9, half, 0], rtol=1e-6
    )
    np.testing.assert_allclose(
        thresholds.curriculum(learned, 3, 0.9, True, "linear"), [0.45, 0.225, 0], rtol=1e-6
    )
    np.testing.assert_allclose(
        thresholds.curriculum(learned, 3, 0.9, True, "concave"),
        0.9 * np.log2([1.5, 1.25, 1]),
        rtol=1e-6,
    )
    nothing = -tf.ones([4], tf.int32)
    for warmup in (True, False):
        assert not np.any(thresholds.curriculum(nothing, 3, 0.9, warmup, "convex"))


def test_confident_predictions_replace_older_ones_and_others_do_not():
    learned = tf.constant([2, 1, -1, -1, 0])
    index, label = tf.constant([0, 1, 3, 4, 4], tf.int64), tf.constant([1, -1, 2, 1, -1], tf.int64)
    after = thresholds.remember(learned, index, label)
    np.testing.assert_array_equal(after, [1, 1, -1, 2, 1])
    assert after.dtype == learned.dtype


def test_balance_by_hand():
    shares = tf.constant([0.6, 0.2, 0.1, 0.0])
    np.testing.assert_allclose(thresholds.balance(shares, 2.0), [0.375, 1.125, 2.0, 2.0], rtol=1e-6)
    np.testing.assert_array_equal(thresholds.balance(tf.zeros(3), 2.0), [0, 0, 0])
