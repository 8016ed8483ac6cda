"""What families of networks hold, each by a small member: seeds, gradients, learning, files."""

import functools
import random

import keras
import numpy as np
import pytest
import sklearn.datasets
import tensorflow as tf

from mpl_tf.networks import find, parts, precision, resnet, set_trained
from mpl_tf.networks.layers import all_layers

SENET = {"depth": 14, "width": 0.25, "groups": 2, "group_width": 32, "excitation": True}
MEMBERS = {
    "resnet": find("resnet_14x0.125"),
    "senet": functools.partial(resnet.build, variant="senet", **SENET),
    "densenet": find("densenet_16_8"),
    "efficientnet": find("efficientnet_0.25_0.1"),
    "bit": find("bit_14x0.5"),
    "vit": find("vit_2_64_4"),
    "cells": functools.partial(find("pnasnet_5_1_8"), drop_path=0.0),
}
SHAPE = (16, 16, 1)
BATCH, LEARNING_RATE = 32, 3e-3


@functools.cache
def digits():
    images, labels = sklearn.datasets.load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8, 1).repeat(2, axis=1).repeat(2, axis=2)
    return (images * (255 / 16)).astype(np.uint8), labels


@functools.cache
def built(name):
    return MEMBERS[name](10, SHAPE, seed=1, dropout=0.0)  # XLA draws other masks


@functools.cache
def other(name):
    """Another member than `built`: of another seed, and with all that a builder takes."""
    options = {"head": "mlp_4", "dropout": 0.3, "head_temperature": 0.5}
    return MEMBERS[name](3, SHAPE, seed=2, synchronized=True, **options)


def loss(network, images, labels):
    """(the mean cross entropy in training, the share of right answers)."""
    logits = network(images, training=True)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    return tf.reduce_mean(losses), tf.reduce_mean(tf.cast(tf.argmax(logits, -1) == labels, float))


@functools.cache
def gradients(name, jit=False):
    """Of a member's trainable variables in its first step."""
    images, labels = (tf.constant(each[:BATCH]) for each in digits())
    network = built(name)

    def compute():
        with tf.GradientTape() as tape:
            mean, _ = loss(network, images, labels)
        return tape.gradient(mean, network.trainable_variables)

    return tf.function(compute, jit_compile=True, autograph=False)() if jit else compute()


def accuracy_of_training(name, steps):
    """Trains a new member with Adam on digits; the accuracy of the last steps, before each."""
    images, labels = digits()
    network = MEMBERS[name](10, SHAPE, seed=1)
    optimizer = keras.optimizers.Adam(LEARNING_RATE)
    optimizer.build(network.trainable_variables)

    @tf.function(autograph=False)
    def step(images, labels):
        with tf.GradientTape() as tape:
            mean, accuracy = loss(network, images, labels)
        variables = network.trainable_variables
        optimizer.apply(tape.gradient(mean, variables), variables)
        return accuracy

    accuracies = []
    for index in range(steps):
        chosen = np.arange(index * BATCH, (index + 1) * BATCH) % len(images)
        accuracies.append(step(tf.constant(images[chosen]), tf.constant(labels[chosen])))
    return np.mean(accuracies[-5:])


@pytest.fixture(params=[name for name in MEMBERS if name != "resnet"])  # senet has all of it
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
    same = MEMBERS[name](10, SHAPE, seed=1)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before
    backbones = map(parts.backbone, (built(name), same, other(name)))
    for a, b, c in zip(*(x.trainable_variables for x in backbones), strict=True):
        np.testing.assert_array_equal(a, b)
        assert np.ptp(a) == 0 or not np.array_equal(a, c), a.path


def test_no_two_kernels_share_their_draws(name):
    kernels = [w for w in built(name).get_weights() if w.ndim > 1 and np.ptp(w)]
    assert len({w.ravel()[:4].tobytes() for w in kernels}) == len(kernels)


def test_each_trainable_weight_gets_a_gradient(name):
    for gradient, variable in zip(gradients(name), built(name).trainable_variables, strict=True):
        assert gradient is not None and np.all(np.isfinite(gradient)), variable.path
        assert np.any(gradient), variable.path


@pytest.mark.parametrize(
    ("learner", "steps"),
    [
        ("resnet", 40),
        pytest.param("senet", 40, marks=pytest.mark.slow),
        pytest.param("densenet", 40, marks=pytest.mark.slow),
        pytest.param("efficientnet", 40, marks=pytest.mark.slow),
        pytest.param("bit", 40, marks=pytest.mark.slow),
        pytest.param("vit", 400, marks=pytest.mark.slow),
        pytest.param("cells", 40, marks=pytest.mark.slow),
    ],
)
def test_it_learns_digits(learner, steps):
    assert accuracy_of_training(learner, steps) > 0.5


def test_it_is_saved_and_trained_as_a_file(name, tmp_path):
    network, (images, _) = built(name), digits()
    network.save(tmp_path / "network.keras")
    again = find(f"file:{tmp_path / 'network.keras'}")(10, SHAPE, dropout=0.0)
    expected = network(images[:4])
    np.testing.assert_allclose(again(images[:4]), expected, rtol=1e-4, atol=1e-4)
    set_trained(again, "lora_2")
    np.testing.assert_allclose(again(images[:4]), expected, rtol=1e-4, atol=1e-4)
    wrapped = [x for x in all_layers(again) if getattr(x, "lora_enabled", False)]
    assert len(parts.backbone(again).trainable_variables) == 2 * len(wrapped) > 0


def test_it_computes_in_bfloat16(name):
    with precision("bfloat16"):
        network = MEMBERS[name](10, SHAPE, seed=1)
    network.set_weights(built(name).get_weights())
    assert {v.dtype for v in network.trainable_variables} == {"float32"}
    logits, (images, _) = network(digits()[0][:4]).numpy(), digits()
    assert logits.dtype == np.float32
    expected = built(name)(images[:4]).numpy()
    np.testing.assert_allclose(logits, expected, atol=0.1 * np.ptp(expected))
    assert np.any(logits != expected)


def test_batch_statistics_may_be_synchronized(name):
    for network, synchronized in ((built(name), False), (other(name), True)):
        norms = [x for x in all_layers(network) if isinstance(x, keras.layers.BatchNormalization)]
        assert {x.synchronized for x in norms} == ({synchronized} if norms else set())


def test_head_and_dropout_are_those_that_are_asked_for(name):
    head = parts.head(other(name))
    assert [w.shape[-1] for w in head.trainable_variables] == [4, 4, 3, 3]
    assert head.layers[-1].scale == 2 and head.layers[-3].rate == 0.3


@pytest.mark.slow
def test_xla_computes_the_same(name):
    variables = built(name).trainable_variables
    for a, b, variable in zip(gradients(name), gradients(name, jit=True), variables, strict=True):
        # Keys' biases change no attention: what they have is rounding.
        scale = max(np.max(np.abs(a)), 1e-5)
        # An activation near zero may count in one and not in the other.
        np.testing.assert_allclose(b, a, atol=0.1 * scale, err_msg=variable.path)
