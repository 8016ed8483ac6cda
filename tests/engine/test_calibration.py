"""The temperature of a model, and what it does to the answers."""

import logging

import keras
import numpy as np
import pytest
import tensorflow as tf

import mpl_tf
from mpl_tf.console import log
from mpl_tf.engine import calibration
from mpl_tf.formulas import calibration as formulas
from mpl_tf.serving import loading

SHAPE = (2, 2, 1)


def model(scale):
    """Logits are `scale` times three of the pixels."""
    inputs = keras.Input(SHAPE)
    dense = keras.layers.Dense(3, kernel_initializer="zeros")
    network = keras.Model(inputs, dense(keras.layers.Flatten()(inputs)))
    dense.kernel.assign(scale * np.eye(4, 3))
    return mpl_tf.Supervised(network)


@pytest.fixture
def labeled(rng):
    """uint8 images whose logits, times 0.02, are those of a calibrated classifier; labels."""
    images = rng.integers(0, 256, (1200, *SHAPE)).astype(np.uint8)
    cumulative = np.cumsum(formulas.probabilities(0.02 * images.reshape(-1, 4)[:, :3], 1), axis=1)
    return images, np.sum(rng.random((1200, 1)) > cumulative, axis=1)


def test_the_export_is_as_sure_as_it_is_right_and_answers_the_same(labeled, tmp_path):
    images, labels = labeled
    too_sure = model(0.06)
    temperature = too_sure.fit_temperature(images, labels)
    assert temperature == pytest.approx(3, rel=0.1)
    folder = too_sure.export(str(tmp_path), temperature=temperature)
    export = loading.load(folder)
    assert export.calibration_temperature == temperature
    answers = export.signatures["serving_default"](images=tf.constant(images))
    logits = too_sure.student(images).numpy()
    expected = formulas.probabilities(logits, temperature)
    np.testing.assert_allclose(answers["probabilities"], expected, atol=1e-6)
    np.testing.assert_array_equal(answers["class_ids"], np.argmax(logits, axis=1))
    np.testing.assert_allclose(
        too_sure.predict(images, verbose=0), formulas.probabilities(logits, 1), atol=1e-6
    )


def test_logits_do_not_depend_on_the_batch(rng):
    network = mpl_tf.NETWORKS["mlp"](3, (4, 4, 1))
    images = tf.data.Dataset.from_tensor_slices(rng.integers(0, 256, (10, 4, 4, 1), np.uint8))
    a, b = (calibration.logits(network, images.batch(size)) for size in (3, 10))
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_datasets_and_labels_in_columns_are_the_same(labeled):
    images, labels = labeled
    expected = model(0.06).fit_temperature(images, labels)
    data = tf.data.Dataset.from_tensor_slices((images, labels[:, None])).batch(70)
    for x, y in ((data, None), (images, labels[:, None]), (images.astype(float), labels.tolist())):
        assert model(0.06).fit_temperature(x, y) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x, None), "fit_temperature needs labels beside images"),
        (lambda x, y: (x, y[:-1]), "received 1200 images and 1199 labels"),
        (lambda x, y: (x, y - 1), "from 0 to 2, .* fit_temperature received -1"),
        (lambda x, y: (x[:, 1:], y), r"fit_temperature takes images \[N, 2, 2, 1\]"),
        (lambda x, y: (late_label(x, y), None), "class ids; fit_temperature received 3"),
    ],
)
def test_what_does_not_fit_is_refused(labeled, change, message):
    with pytest.raises(ValueError, match=message):
        model(0.06).fit_temperature(*change(*labeled))


def late_label(images, labels):
    labels = labels.copy()
    labels[-1] = 3
    return tf.data.Dataset.from_tensor_slices((images, labels)).batch(100)


def test_it_is_said_that_a_temperature_stays_1(labeled, caplog, monkeypatch):
    monkeypatch.setattr(log, "propagate", True)
    images, _ = labeled
    right = np.argmax(model(0.02).student(images), axis=1)
    with caplog.at_level(logging.WARNING, logger=log.name):
        assert model(0.02).fit_temperature(images[:10], right[:10]) == 1
    assert "stays 1: all 10 images" in caplog.text


@pytest.mark.parametrize("value", [0, -1, np.inf, np.nan, "2", True, None])
def test_an_export_refuses_what_is_no_temperature(value, tmp_path):
    with pytest.raises(ValueError, match="temperature must be a finite number greater than 0"):
        model(1).export(str(tmp_path / "model"), temperature=value)
    assert not (tmp_path / "model").exists()
