"""Losses on representations against plain loops in numpy."""

import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.formulas import contrast


@pytest.fixture
def directions(rng):
    """directions(count): rows [count, 4] of length 1."""

    def draw(count):
        rows = rng.normal(size=(count, 4))
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    return draw


def test_rows_get_length_one_and_those_of_length_zero_stay(rng):
    rows = rng.normal(size=(3, 4)) * [[1e-6], [1.0], [1e6]]
    got = contrast.normalize(tf.constant(rows))
    np.testing.assert_allclose(got, rows / np.linalg.norm(rows, axis=1, keepdims=True), rtol=1e-12)
    zeros = tf.zeros([2, 4], tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(zeros)
        result = contrast.normalize(zeros)
    np.testing.assert_array_equal(result, np.zeros([2, 4]))
    assert np.all(np.isfinite(tape.gradient(result, zeros)))


def test_nt_xent_by_hand(directions):
    """All views but the own one are in the denominator, and the sibling is the numerator."""
    others, siblings, t = directions(5), directions(5), 0.3
    for place, count in ((0, 5), (2, 2)):
        own = others[place : place + count]
        got = contrast.nt_xent(*map(tf.constant, (own, others, siblings)), place, t)
        for i in range(count):
            total = sum(np.exp(own[i] @ sibling / t) for sibling in siblings)
            total += sum(
                np.exp(own[i] @ other / t) for j, other in enumerate(others) if j != place + i
            )
            expected = -np.log(np.exp(own[i] @ siblings[place + i] / t) / total)
            assert float(got[i]) == pytest.approx(expected, abs=1e-9)


def test_info_nce_by_hand(directions):
    queries, keys, negatives, t = directions(3), directions(3), directions(4), 0.2
    excluded = np.array([[0, 1, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]], bool)
    for mask in (None, excluded):
        got = contrast.info_nce(*map(tf.constant, (queries, keys, negatives)), t, mask)
        for i in range(3):
            own = total = np.exp(queries[i] @ keys[i] / t)
            for j in range(4):
                if mask is None or not mask[i, j]:
                    total += np.exp(queries[i] @ negatives[j] / t)
            assert float(got[i]) == pytest.approx(np.log(total / own), abs=1e-9)


def test_low_temperatures_do_not_overflow(directions):
    rows = tf.constant(directions(4), tf.float32)
    assert np.all(np.isfinite(contrast.info_nce(rows, rows, rows, 1e-3)))
    assert np.all(np.isfinite(contrast.nt_xent(rows, rows, rows, 0, 1e-3)))


def test_the_error_of_cosines_is_that_of_directions(rng):
    a, b = rng.normal(size=(2, 5, 4))
    directions = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (a, b)]
    expected = np.sum((directions[0] - directions[1]) ** 2, axis=1)
    np.testing.assert_allclose(contrast.cosine_error(*map(tf.constant, (a, b))), expected)
    alike, opposite = contrast.cosine_error(a, 3 * a), contrast.cosine_error(a, -2 * a)
    np.testing.assert_allclose([alike, opposite], np.outer([0, 4], np.ones(5)), atol=1e-12)


def test_the_prototype_loss_by_hand(directions):
    """Each prototype has a temperature of its own."""
    queries, prototypes = directions(3), directions(4)
    phi, assigned = np.array([0.1, 0.2, 0.4, 0.8]), np.array([3, 0, 0])
    got = contrast.prototype_loss(*map(tf.constant, (queries, prototypes, phi, assigned)))
    for i in range(3):
        each = [np.exp(queries[i] @ prototypes[c] / phi[c]) for c in range(4)]
        assert float(got[i]) == pytest.approx(-np.log(each[assigned[i]] / sum(each)), abs=1e-9)
