"""Accumulated predictions against numpy."""

import numpy as np
import tensorflow as tf

from mpl_tf.formulas import averages, ensembles


def test_three_epochs_by_hand(rng):
    probs = rng.dirichlet(np.ones(3), size=(3, 4))  # [epoch, image, class]
    sums, visits = tf.zeros([4, 3], tf.float64), tf.zeros([4], tf.int64)
    for epoch in probs:
        order = rng.permutation(4)
        sums, visits = ensembles.accumulate(sums, visits, order, epoch[order], 0.6)
    weights = 0.4 * 0.6 ** np.array([2, 1, 0])
    np.testing.assert_allclose(sums, np.tensordot(weights, probs, 1), atol=1e-12)
    np.testing.assert_array_equal(visits, [3, 3, 3, 3])
    mean = np.tensordot(weights / weights.sum(), probs, 1)
    np.testing.assert_allclose(averages.debiased(sums, visits[:, None], 0.6), mean, atol=1e-12)


def test_only_the_images_seen_move_and_those_seen_twice_move_once(rng):
    sums, visits = tf.constant(rng.random([4, 3])), tf.constant([1, 2, 0, 5])
    probs = rng.dirichlet(np.ones(3), size=3)
    moved, seen = ensembles.accumulate(sums, visits, tf.constant([2, 0, 2]), probs, 0.5)
    np.testing.assert_array_equal(seen, [2, 2, 1, 5])
    np.testing.assert_array_equal(moved[1], sums[1])
    np.testing.assert_array_equal(moved[3], sums[3])
    np.testing.assert_allclose(moved[0], (sums[0] + probs[1]) / 2, atol=1e-12)
    np.testing.assert_allclose(moved[2], sums[2] / 2 + (probs[0] + probs[2]) / 4, atol=1e-12)


def test_an_image_that_was_not_seen_has_no_prediction():
    row = averages.debiased(tf.zeros([1, 3]), tf.constant([[0]]), 0.6)
    np.testing.assert_array_equal(row, np.zeros([1, 3]))


def test_rows_of_one_index_have_their_mean(rng):
    index, rows = rng.integers(0, 5, 20), rng.random([20, 3])
    expected = [rows[index == place].mean(axis=0) for place in index]
    np.testing.assert_allclose(ensembles.mean_of_same(index, rows), expected, atol=1e-12)
    own = ensembles.mean_of_same(np.arange(20)[::-1], rows)
    np.testing.assert_array_equal(own, rows)
