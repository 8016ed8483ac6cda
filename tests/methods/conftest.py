"""Steps of methods by hand, in numpy, and what their tests share."""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf

import mpl_tf
from mpl_tf.engine import mixup


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def cross_entropy(target, z):
    """Mean over rows of the cross entropy of distributions and logits."""
    return -np.mean(np.sum(target * np.log(softmax(z)), axis=1))


def smooth(target, smoothing):
    """Label smoothing of distributions [N, K]."""
    return (1 - smoothing) * target + smoothing / target.shape[1]


def logits(x, weights):
    """Logits of a linear network: weights are (kernel, bias)."""
    return x @ weights[0] + weights[1]


def gradient(*parts):
    """Gradient of a linear network's (kernel, bias); parts are (images, d loss/d logits)."""
    return [sum(x.T @ dz for x, dz in parts), sum(dz.sum(axis=0) for _, dz in parts)]


def step(weights, parts, rate=0.5, decay=0.1):
    """Weights after a step of SGD with an L2 term; parts are as for `gradient`."""
    moved = zip(weights, gradient(*parts), strict=True)
    return [w - rate * (g + decay * w) for w, g in moved]


def error_slope(probs, target):
    """d/dlogits of mean_k (probs_k - target_k)^2, the target fixed, of each row."""
    slope = 2 * (probs - target) / probs.shape[1]
    return probs * (slope - (probs * slope).sum(axis=1, keepdims=True))


def assert_close(actual, expected, atol=1e-7):
    """Lists of arrays are equal, up to rounding."""
    for a, b in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=atol)


def assert_identical(actual, expected):
    """Lists of arrays or variables are equal to the last bit."""
    for a, b in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.fixture(scope="session")
def by_hand():
    """The functions above."""
    return types.SimpleNamespace(
        softmax=softmax,
        cross_entropy=cross_entropy,
        smooth=smooth,
        logits=logits,
        gradient=gradient,
        step=step,
        error_slope=error_slope,
        assert_close=assert_close,
        assert_identical=assert_identical,
    )


@pytest.fixture
def vectors(random_batch):
    """A batch of 4 labeled and 6 unlabeled vectors of 5 features, 3 classes, in float64."""
    return random_batch((5,))


@pytest.fixture
def more_views(vectors):
    """`vectors`, with further views of the unlabeled ones, and their places in the pool."""
    numbers = np.random.default_rng(1)
    for name in ("weak_2", "strong_2"):
        vectors[name] = numbers.normal(size=(6, 5))
    vectors["index"] = np.arange(6)
    return vectors


@pytest.fixture
def with_teacher(linear):
    """with_teacher(method, learns=True, **hyperparameters): the method on two linear networks.

    It is compiled; without `learns` its teacher counts as trained.
    """

    def make(method, learns=True, **hyperparameters):
        model = method(linear(5, 3), linear(5, 3), **hyperparameters)
        model.compile(
            student_optimizer=keras.optimizers.SGD(0.5),
            teacher_optimizer=keras.optimizers.SGD(0.25) if learns else None,
            weight_decay=0.1,
        )
        return model

    return make


@pytest.fixture
def after_ten_steps(linear, vectors, endless):
    """after_ten_steps(method, **hyperparameters): the student's weights, trained from `vectors`.

    Methods that are limits of one another end with the same numbers.
    """
    start = linear(5, 3).get_weights()

    def train(method, **hyperparameters):
        student = linear(5, 3)
        student.set_weights(start)
        model = method(student, label_smoothing=0.1, **hyperparameters)
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
