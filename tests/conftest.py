"""Shared by all tests: quiet TensorFlow, small networks, and steps of them by hand."""

import os
import socket

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import types

import keras
import numpy as np
import pytest
import tensorflow as tf

import mpl_tf


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def linear(rng):
    """linear(features, classes): a built float64 network of one dense layer with random weights."""

    def build(features, classes):
        inputs = keras.Input([features], dtype="float64")
        layer = keras.layers.Dense(classes, dtype="float64")
        model = keras.Model(inputs, layer(inputs))
        model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
        return model

    return build


@pytest.fixture
def convolutional(rng):
    """convolutional(seed): a small network with batch normalisation and dropout on 6x6 images."""

    def build(seed, classes=3, dtype="float64", dropout=0.3):
        layers = keras.layers
        x = inputs = keras.Input([6, 6, 1], dtype=dtype)
        x = layers.Conv2D(4, 3, use_bias=False, dtype=dtype, kernel_initializer=_init(seed))(x)
        x = layers.BatchNormalization(momentum=0.9, dtype=dtype)(x)
        x = layers.LeakyReLU(dtype=dtype)(x)
        x = layers.Flatten(dtype=dtype)(x)
        x = layers.Dropout(dropout, seed=seed, dtype=dtype)(x)
        x = layers.Dense(classes, dtype=dtype, kernel_initializer=_init(seed + 1))(x)
        return keras.Model(inputs, x)

    def _init(seed):
        return keras.initializers.GlorotUniform(seed=seed)

    return build


@pytest.fixture(scope="session")
def free_ports():
    """free_ports(count): ports of this machine that nobody listens on, a list of int."""

    def find(count):
        sockets = [socket.socket() for _ in range(count)]
        for one in sockets:
            one.bind(("localhost", 0))
        ports = [one.getsockname()[1] for one in sockets]
        for one in sockets:
            one.close()
        return ports

    return find


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def logits(x, weights):
    """Logits of a linear network: weights are (kernel, bias)."""
    return x @ weights[0] + weights[1]


def step(weights, parts, rate=0.5, decay=0.1):
    """Weights after a step of SGD with an L2 term; parts are (images, d loss/d logits)."""
    gradient = [sum(x.T @ dz for x, dz in parts), sum(dz.sum(axis=0) for _, dz in parts)]
    return [w - rate * (g + decay * w) for w, g in zip(weights, gradient, strict=True)]


def error_slope(probs, target):
    """d/dlogits of mean_k (probs_k - target_k)^2, the target fixed, of each row."""
    slope = 2 * (probs - target) / probs.shape[1]
    return probs * (slope - (probs * slope).sum(axis=1, keepdims=True))


def assert_close(got, expected, atol=1e-7):
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=atol)


@pytest.fixture
def by_hand():
    """softmax, logits, error_slope, step and assert_close, in numpy."""
    return types.SimpleNamespace(
        softmax=softmax,
        logits=logits,
        error_slope=error_slope,
        step=step,
        assert_close=assert_close,
    )


@pytest.fixture
def vectors(rng):
    """A batch of 4 labeled and 6 unlabeled vectors of 5 features, 3 classes, in float64."""
    return {
        "labeled": rng.normal(size=(4, 5)),
        "label": rng.integers(3, size=4),
        "weak": rng.normal(size=(6, 5)),
        "strong": rng.normal(size=(6, 5)),
    }


@pytest.fixture
def more_views(vectors):
    """`vectors`, with further views of the unlabeled ones, and their places in the pool."""
    numbers = np.random.default_rng(1)
    for name in ("weak_2", "strong_2"):
        vectors[name] = numbers.normal(size=(6, 5))
    vectors["index"] = np.arange(6)
    return vectors


@pytest.fixture
def endless():
    """endless(batch): the same batch, or the batches of a list in turn, without end."""

    def repeat(batch):
        batches = batch if isinstance(batch, list) else [batch]
        stacked = {k: np.stack([b[k] for b in batches]) for k in batches[0]}
        return tf.data.Dataset.from_tensor_slices(stacked).repeat()

    return repeat


@pytest.fixture
def after_ten_steps(linear, vectors, endless):
    """after_ten_steps(method, **hyperparameters): the student's weights, trained from `vectors`.

    Methods that are limits of one another end with the same numbers.
    """
    start = linear(5, 3).get_weights()

    def train(kind, **hyperparameters):
        student = linear(5, 3)
        student.set_weights(start)
        model = kind(student, label_smoothing=0.1, **hyperparameters)
        model.compile(keras.optimizers.SGD(0.5, momentum=0.9), weight_decay=0.01)
        model.fit(endless(vectors), steps_per_epoch=10, verbose=0)
        return student.get_weights()

    return train


@pytest.fixture
def supervised_steps(after_ten_steps):
    """What `after_ten_steps` gives for supervised learning."""
    return after_ten_steps(mpl_tf.Supervised)


@pytest.fixture
def rolled(monkeypatch):
    """Puts a simple mixing in place of the random one; the list of the options of its calls."""
    from mpl_tf.engine import mixup

    calls = []

    def mix(images, targets, alpha, seed, **options):
        calls.append({"alpha": alpha, "seed": seed, **options})
        sizes = [part.shape[0] for part in images]

        def mixed(parts):
            every = tf.concat(parts, 0)
            return tf.split(0.75 * every + 0.25 * tf.roll(every, 1, axis=0), sizes)

        return mixed(images), mixed(targets)

    monkeypatch.setattr(mixup, "mix", mix)
    return calls
