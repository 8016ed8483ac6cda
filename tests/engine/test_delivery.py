"""What a method delivers: its moving average, a finetuned copy of it, or what is chosen."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import mpl_tf


@pytest.fixture
def finetuned(linear, random_batch, endless):
    """finetuned(): a method that was trained and finetuned, and its data."""

    def make():
        method, data = mpl_tf.FixMatch(linear(5, 3)), endless(random_batch([5]))
        method.compile(keras.optimizers.SGD(0.1))
        method.fit(data, steps_per_epoch=2, verbose=0)
        method.finetune(data, steps=2, optimizer=keras.optimizers.SGD(0.1), verbose=0)
        return method, data

    return make


def test_more_training_drops_the_finetuned_network(finetuned, rng, caplog):
    method, data = finetuned()
    vectors = rng.normal(size=(4, 5))
    before = method.predict(vectors, verbose=0)
    method.fit(data, steps_per_epoch=5, verbose=0)
    assert method.delivered == "ema"
    assert "finetune again" in caplog.text
    expected = tf.nn.softmax(method.ema(vectors))
    np.testing.assert_allclose(method.predict(vectors, verbose=0), expected, rtol=1e-6)
    assert np.abs(before - expected).max() > 1e-3
    reported = method.evaluate(vectors, np.zeros(4, int), verbose=0, return_dict=True)
    assert {"student_accuracy", "ema_accuracy"} <= reported.keys()
    assert "finetuned_accuracy" not in reported
    method.finetune(data, steps=1, verbose=0)
    assert method.delivered == "finetuned"


def test_a_file_of_weights_has_the_finetuned_network_or_not(finetuned, linear, rng, tmp_path):
    method, _ = finetuned()
    vectors, path = rng.normal(size=(4, 5)), str(tmp_path / "all.weights.h5")
    method.save_weights(path)
    fresh = mpl_tf.FixMatch(linear(5, 3))
    fresh.compile("sgd")
    fresh.load_weights(path)
    expected = method.predict(vectors, verbose=0)
    np.testing.assert_array_equal(fresh.predict(vectors, verbose=0), expected)
    trained = mpl_tf.FixMatch(linear(5, 3))
    trained.compile("sgd")
    trained.save_weights(path)
    fresh.load_weights(path)  # which drops what it had
    assert fresh.delivered == "ema"
    expected = trained.predict(vectors, verbose=0)
    np.testing.assert_array_equal(fresh.predict(vectors, verbose=0), expected)


def test_another_network_is_delivered_until_more_is_trained(finetuned, rng):
    method, data = finetuned()
    vectors = rng.normal(size=(4, 5))
    last = method.predict(vectors, verbose=0)
    method.deliver("student")
    assert method.delivered == "student" and method.network() is method.student
    chosen = method.predict(vectors, verbose=0)
    np.testing.assert_allclose(chosen, tf.nn.softmax(method.student(vectors)), rtol=1e-6)
    assert np.abs(chosen - last).max() > 1e-6
    with pytest.raises(ValueError, match="which must be one of"):
        method.deliver("teacher")
    assert method.delivered == "student"
    method.finetune(data, steps=1, verbose=0)
    assert method.delivered == "finetuned"
    method.deliver("student")
    method.fit(data, steps_per_epoch=1, verbose=0)
    assert method.delivered == "ema"
    method.deliver("student")
    method.fit(data, steps_per_epoch=1, verbose=0)
    assert method.delivered == "ema"
