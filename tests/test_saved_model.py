"""The exported model, loaded without this package's classes."""

import os

import keras
import numpy as np
import pytest
import tensorflow as tf

import mpl_tf
from mpl_tf import saved_model


@pytest.fixture
def network():
    network = mpl_tf.NETWORKS["small"](3, (8, 8, 1), seed=1)
    for weight in network.weights:  # batch statistics that matter
        weight.assign_add(0.01 * keras.random.uniform(weight.shape, seed=2))
    return network


@pytest.mark.parametrize("count", [0, 1, 5])
def test_it_answers_like_the_network_for_any_batch(network, count, rng, tmp_path):
    saved_model.export(network, str(tmp_path / "m" / "1"), ["cat", "dog", "eel"])
    serve = tf.saved_model.load(str(tmp_path / "m" / "1")).signatures["serving_default"]
    images = rng.integers(0, 256, (count, 8, 8, 1)).astype(np.uint8)
    out = serve(images=tf.constant(images))
    logits = np.zeros((0, 3))
    if count:  # Keras itself cannot call a network on nothing
        logits = network(images.astype(np.float32), training=False).numpy()
    np.testing.assert_allclose(out["probabilities"], tf.nn.softmax(logits), atol=1e-6)
    assert out["class_ids"].dtype == tf.int64
    names = np.array([b"cat", b"dog", b"eel"])
    assert list(out["class_names"].numpy()) == list(names[np.argmax(logits, axis=1)])


def test_it_takes_uint8_only(network, tmp_path):
    saved_model.export(network, str(tmp_path / "1"))
    serve = tf.saved_model.load(str(tmp_path / "1")).signatures["serving_default"]
    (spec,) = serve.structured_input_signature[1].values()
    assert (spec.dtype, spec.shape.as_list()) == (tf.uint8, [None, 8, 8, 1])


def test_names_must_fit_and_nothing_is_overwritten(network, tmp_path):
    with pytest.raises(ValueError, match="3 names; received 2"):
        saved_model.export(network, str(tmp_path / "1"), ["a", "b"])
    assert not os.listdir(tmp_path)
    saved_model.export(network, str(tmp_path / "1"))
    with pytest.raises(FileExistsError):
        saved_model.export(network, str(tmp_path / "1"))
    assert os.listdir(tmp_path) == ["1"]
