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


def unit(rows):
    """Rows of length 1."""
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def info_nce(query, key, negatives, temperature, excluded=None):
    """Mean over queries of the cross entropy of telling their keys from negatives."""
    others = np.exp(query @ negatives.T / temperature)
    if excluded is not None:
        others = others * ~excluded
    own = np.exp(np.sum(query * key, axis=1) / temperature)
    return np.mean(np.log(own + others.sum(axis=1)) - np.log(own))


def encode(x, student):
    """Features of the network of `two_layers` by its weights."""
    return np.tanh(logits(x, student[:2]))


def perceptron(x, weights, batch_norm=False):
    """Dense, ReLU, Dense by their trainable weights; batch norm is before the ReLU."""
    if batch_norm:
        kernel, gamma, beta, *last = weights
        x = x @ kernel
        x = gamma * (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-3) + beta
    else:
        *first, kernel, bias = weights
        x, last = logits(x, first), (kernel, bias)
    return logits(np.maximum(x, 0), last)


def slopes(loss, weights, change=1e-5):
    """Gradient of loss(weights) by each number of a list of arrays, by central differences."""
    gradients = []
    for place, array in enumerate(weights):
        gradient = np.zeros(array.shape)
        for at in np.ndindex(array.shape):
            sides = []
            for sign in (1, -1):
                moved = [np.array(w) for w in weights]
                moved[place][at] += sign * change
                sides.append(loss(moved))
            gradient[at] = (sides[0] - sides[1]) / (2 * change)
        gradients.append(gradient)
    return gradients


def encoder_step(student, projectors, batch, loss, rate=0.5):
    """(weights of the student, of its projectors) after a step of SGD without an L2 term.

    `loss`, of the weights of encoder and projectors, teaches both. Labels teach the classifier.
    """
    features = encode(batch["labeled"], student)
    error = softmax(logits(features, student[2:])) - np.eye(3)[batch["label"]]
    classifier = step(student[2:], [(features, error / len(error))], rate, decay=0)
    before = [*student[:2], *projectors]
    gradient = slopes(lambda w: loss(w[:2], w[2:]), before)
    after = [w - rate * g for w, g in zip(before, gradient, strict=True)]
    return [*after[:2], *classifier], after[2:]


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
        unit=unit,
        info_nce=info_nce,
        encode=encode,
        perceptron=perceptron,
        encoder_step=encoder_step,
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
def two_batches(more_views, rng):
    """`more_views`, and other images, of other places in the pool."""
    views = ("labeled", "strong", "strong_2")
    other = {name: rng.normal(size=more_views[name].shape) for name in views}
    return [more_views, more_views | other | {"index": np.array([3, 9, 0, 8, 7, 11])}]


@pytest.fixture
def two_layers():
    """two_layers(): a network of 5 numbers, 4 features by tanh and 3 classes, in float64.

    All have the same weights.
    """

    def build():
        numbers = np.random.default_rng(2)
        x = inputs = keras.Input([5], dtype="float64")
        x = keras.layers.Dense(4, "tanh", dtype="float64")(x)
        model = keras.Model(inputs, keras.layers.Dense(3, dtype="float64")(x))
        model.set_weights([0.7 * numbers.normal(size=w.shape) for w in model.get_weights()])
        return model

    return build


@pytest.fixture
def in_steps(endless):
    """in_steps(model, batches): what a model, compiled with SGD(0.5), logs in a step of each."""

    def run(model, batches):
        if not model.compiled:
            model.compile(keras.optimizers.SGD(0.5), run_eagerly=True)
        logs = []
        for batch in batches:
            history = model.fit(endless(batch), steps_per_epoch=1, verbose=0).history
            logs.append({name: values[-1] for name, values in history.items()})
        return logs

    return run


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
