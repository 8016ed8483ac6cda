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


def test_named_means_are_by_name_in_the_order_of_the_first_time():
    means = metrics.NamedMeans("means")
    assert means.names == () and means.result() == {}
    means.update_state(loss=1.0, rate=0.5)
    means.update_state(loss=3.0)
    means.update_state(accuracy=0.25, rate=0.5)
    assert means.names == ("loss", "rate", "accuracy")
    values = {name: float(value) for name, value in means.result().items()}
    assert values == {"loss": 2.0, "rate": 0.5, "accuracy": 0.25}  # each by its own count
    means.reset_state()
    assert means.names == ("loss", "rate", "accuracy")
    assert [float(value) for value in means.result().values()] == [0.0, 0.0, 0.0]


def test_values_count_by_their_weight_and_not_at_all_without():
    means = metrics.NamedMeans("means")
    means.update_state(0.0, accuracy=0.0)
    means.update_state(loss=1.0)
    assert means.names == ("accuracy", "loss")
    assert means.names_with_values() == ("loss",)
    means.update_state(3.0, accuracy=1.0)
    means.update_state(1.0, accuracy=0.5)
    assert float(means.result()["accuracy"]) == 3.5 / 4
    assert means.names_with_values() == ("accuracy", "loss")
    means.reset_state()
    assert means.names_with_values() == ()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_no_number_touches_no_other(value):
    means = metrics.NamedMeans("means")
    means.update_state(loss=value, rate=0.5)
    assert float(means.result()["rate"]) == 0.5
    assert not np.isfinite(means.result()["loss"])


def test_more_names_than_there_is_room_for_are_refused():
    means = metrics.NamedMeans("means", capacity=2)
    means.update_state(a=1.0, b=2.0)
    with pytest.raises(ValueError, match=r"may log 2 values; received .*'a', 'b', 'c'"):
        means.update_state(c=3.0)


def test_names_turn_up_when_a_step_is_traced():
    """The variables, and so checkpoints, are the same before and after."""
    means = metrics.NamedMeans("means")
    before = [v.shape for v in means.variables]

    @tf.function
    def step(value):
        means.update_state(loss=value, twice=2 * value)

    for value in (1.0, 2.0):
        step(tf.constant(value))
    assert {name: float(value) for name, value in means.result().items()} == {
        "loss": 1.5,
        "twice": 3.0,
    }
    assert [v.shape for v in means.variables] == before
