"""Every network: shapes, seeds, gradients, cloning, images of either type."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.networks import NETWORKS


@pytest.fixture(params=sorted(NETWORKS))
def build(request):
    return NETWORKS[request.param]


def test_it_gives_logits(build, rng):
    network = build(7, (8, 8, 1))
    images = rng.integers(0, 256, (5, 8, 8, 1))
    logits = network.predict(images.astype(np.uint8), verbose=0)
    assert logits.shape == (5, 7)
    assert logits.min() < 0  # no softmax at the end
    np.testing.assert_allclose(
        logits, network.predict(images.astype(np.float32), verbose=0), rtol=1e-5
    )


def test_initial_weights_depend_on_the_seed_alone(build):
    one, same, other = (build(3, (8, 8, 1), seed=s).get_weights() for s in (4, 4, 5))
    for a, b in zip(one, same, strict=True):
        np.testing.assert_array_equal(a, b)
    assert any(not np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_every_trainable_weight_gets_a_gradient(build, rng):
    network = build(3, (8, 8, 1))
    images = rng.integers(0, 256, (16, 8, 8, 1)).astype(np.float32)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(network(images, training=True) ** 2)
    gradients = tape.gradient(loss, network.trainable_variables)
    for gradient, variable in zip(gradients, network.trainable_variables, strict=True):
        assert gradient is not None, variable.path
        assert np.any(gradient), variable.path


def test_it_can_be_cloned(build):
    network = build(3, (8, 8, 1))
    assert keras.models.clone_model(network).count_params() == network.count_params()


def test_batch_statistics_are_averages_over_many_batches(build):
    """Keras's momentum is the decay; 0.01 in its place would follow the last batch."""
    for layer in build(3, (8, 8, 1)).layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            assert layer.momentum == 0.99


def test_the_small_network_has_the_stated_size():
    assert 64_000 < NETWORKS["small"](10, (8, 8, 1)).count_params() < 67_000
