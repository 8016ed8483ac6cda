"""Metrics of a window of steps, by hand."""

import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.engine import metrics


def test_deviation_and_signal_to_noise():
    deviation, ratio = metrics.Deviation("a"), metrics.SignalToNoise("b")
    for value in (1.0, 2.0, 6.0):
        deviation.update_state(value)
        ratio.update_state(-value)
    expected = np.std([1, 2, 6])
    assert float(deviation.result()) == pytest.approx(expected, rel=1e-5)
    assert float(ratio.result()) == pytest.approx(3 / expected, rel=1e-5)
    deviation.reset_state()
    deviation.update_state(5.0)
    assert float(deviation.result()) == 0.0


def test_nothing_seen_and_nothing_varying_give_zero():
    ratio = metrics.SignalToNoise("b")
    assert float(ratio.result()) == 0.0
    ratio.update_state(2.0)
    assert float(ratio.result()) == 0.0


def test_class_shares_of_soft_and_of_hard_labels():
    shares = metrics.ClassShares(3, "shares")
    np.testing.assert_array_equal(shares.result(), [0, 0, 0])
    shares.update_state(tf.constant([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]]))
    shares.update_state(tf.constant([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]))
    np.testing.assert_allclose(shares.result(), [2.5 / 4, 0.5 / 4, 1 / 4], rtol=1e-6)
