"""Moving averages against numpy."""

import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.formulas import averages


def test_baseline_starts_at_zero_and_is_the_plain_mean_at_first():
    average = tf.constant(0.0)
    assert float(averages.debiased(average, tf.constant(0), 0.9)) == 0.0
    average = averages.moving_average(average, 3.0, 0.9)
    assert float(averages.debiased(average, tf.constant(1), 0.9)) == pytest.approx(3.0, rel=1e-5)
    average = averages.moving_average(average, 1.0, 0.9)
    weights = np.array([0.9 * 0.1, 0.1])
    expected = weights @ [3.0, 1.0] / weights.sum()
    assert float(averages.debiased(average, tf.constant(2), 0.9)) == pytest.approx(
        expected, rel=1e-5
    )
    assert float(averages.debiased(average, tf.constant(2), 0.0)) == pytest.approx(float(average))


def test_a_value_takes_the_dtype_of_the_average():
    moved = averages.moving_average(tf.constant([1.0, 2.0], tf.float64), tf.constant(3.0), 0.5)
    assert moved.dtype == tf.float64
    np.testing.assert_array_equal(moved, [2.0, 2.5])
