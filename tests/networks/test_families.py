"""What families of networks hold, each by a small member: seeds, gradients, learning, files."""

import functools
import random

import keras
import numpy as np
import pytest
import sklearn.datasets
import tensorflow as tf

from mpl_tf.networks import find, heads, parts, precision, resnet
from mpl_tf.networks.layers import all_layers

SENET = {"depth": 14, "width": 0.25, "groups": 4, "group_width": 32, "excitation": True}
MEMBERS = {
    "resnet": find("resnet_14x0.125"),
    "senet": functools.partial(resnet.build, variant="senet", **SENET),
}
SHAPE = (8, 8, 1)
STEPS, BATCH = 40, 64


@functools.cache
def digits():
    images, labels = sklearn.datasets.load_digits(return_X_y=True)
    return (images.reshape(-1, *SHAPE) * (255 / 16)).astype(np.uint8), labels


@functools.cache
def built(name):
    return MEMBERS[name](10, SHAPE, seed=1)


class Trained:
    """A member after some steps on digits: `network`, and the gradients of its first step."""

    def __init__(self, name, jit=False):
        images, labels = digits()
        self.network = keras.models.clone_model(built(name))
        self.network.set_weights(built(name).get_weights())
        self.variables = self.network.trainable_variables
        optimizer = keras.optimizers.Adam(3e-3)
        optimizer.build(self.variables)

        @tf.function(jit_compile=jit)
        def step(images, labels):
            with tf.GradientTape() as tape:
                logits = self.network(images, training=True)
                loss = tf.reduce_mean(
                    tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
                )
            gradients = tape.gradient(loss, self.variables)
            optimizer.apply(gradients, self.variables)
            return gradients

        order = np.random.default_rng(0).permutation(1280)
        for index in range(STEPS):
            chosen = order[index * BATCH % 1280 :][:BATCH]
            gradients = step(tf.constant(images[chosen]), tf.constant(labels[chosen]))
            if not index:
                self.gradients = gradients
        logits = self.network.predict_on_batch(images[1280:])
        self.accuracy = np.mean(np.argmax(logits, -1) == labels[1280:])


trained = functools.cache(Trained)


@pytest.fixture(params=MEMBERS)
def name(request):
    return request.param


def test_it_is_a_backbone_and_a_head_of_logits(name):
    network, (images, _) = built(name), digits()
    assert parts.has_parts(network)
    logits = network(images[:4]).numpy()
    assert logits.shape == (4, 10) and logits.min() < 0
    np.testing.assert_allclose(logits, network(images[:4].astype(np.float32)), rtol=1e-4, atol=1e-5)


def test_initial_weights_depend_on_the_seed_alone(name):
    before = random.getstate(), np.random.get_state()[1].tolist()
    same, other = (MEMBERS[name](10, SHAPE, seed=s).get_weights() for s in (1, 2))
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before
    for a, b, c in zip(built(name).get_weights(), same, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert np.ptp(a) == 0 or not np.array_equal(a, c)


def test_no_two_kernels_share_their_draws(name):
    kernels = [w for w in built(name).get_weights() if w.ndim > 1 and np.ptp(w)]
    assert len({w.ravel()[:4].tobytes() for w in kernels}) == len(kernels)


def test_each_trainable_weight_gets_a_gradient(name):
    made = trained(name)
    for gradient, variable in zip(made.gradients, made.variables, strict=True):
        assert gradient is not None and np.all(np.isfinite(gradient)), variable.path
        assert np.any(gradient), variable.path


def test_it_learns_digits(name):
    assert trained(name).accuracy > 0.7


def test_it_is_saved_and_loaded(name, tmp_path):
    network, (images, _) = trained(name).network, digits()
    network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    assert parts.has_parts(loaded)
    np.testing.assert_array_equal(loaded(images[:4]), network(images[:4]))
    again = find(f"file:{tmp_path / 'network.keras'}")(10, SHAPE, dropout=0.0)
    np.testing.assert_allclose(again(images[:4]), network(images[:4]), rtol=1e-4, atol=1e-4)


def test_it_computes_in_bfloat16(name):
    with precision("bfloat16"):
        network = MEMBERS[name](10, SHAPE, seed=1)
    assert {v.dtype for v in network.trainable_variables} == {"float32"}
    logits, (images, _) = network(digits()[0][:4]).numpy(), digits()
    assert logits.dtype == np.float32
    expected = built(name)(images[:4]).numpy()
    np.testing.assert_allclose(logits, expected, atol=0.1 * np.ptp(expected))
    assert np.any(logits != expected)


def test_batch_statistics_may_be_synchronized(name):
    for synchronized in (False, True):
        network = MEMBERS[name](3, SHAPE, synchronized=synchronized)
        norms = [x for x in all_layers(network) if isinstance(x, keras.layers.BatchNormalization)]
        assert {x.synchronized for x in norms} <= {synchronized}


def test_head_and_dropout_are_those_that_are_asked_for(name):
    network = MEMBERS[name](3, (32, 32, 3), head="mlp_4", dropout=0.3, head_temperature=0.5)
    made = parts.head(network)
    assert [w.shape[-1] for w in made.weights] == [4, 4, 3, 3]
    assert made.layers[-1].scale == 2 and made.layers[-3].rate == 0.3
    assert heads.hidden_width("mlp_4") == 4


@pytest.mark.slow
def test_xla_computes_the_same(name):
    plain, compiled = trained(name), Trained(name, jit=True)
    for a, b, variable in zip(plain.gradients, compiled.gradients, plain.variables, strict=True):
        scale = np.max(np.abs(a)) + 1e-6
        np.testing.assert_allclose(b, a, atol=1e-2 * scale, err_msg=variable.path)
