"""The gradient of labels against differentiating the distance twice, in float64.

The oracle writes both gradients out with tapes of its own; it shares no formula with the library.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

import mpl_tf
from mpl_tf.engine import label_gradient

U, K = 6, 3


def values(variables):
    return [tf.convert_to_tensor(v) for v in variables]


def oracle(model, batch, taught, *, smoothing=0.0, weights=None, offsets=0.0):
    """(distance, its gradient by `taught`), the network's state as it is."""
    student = model.student
    trained, state = values(student.trainable_variables), values(student.non_trainable_variables)

    def gradient(images, target, added):
        with tf.GradientTape() as tape:
            tape.watch(trained)
            logits, _ = student.stateless_call(trained, state, images, training=True)
            each = tf.reduce_sum(target * tf.nn.log_softmax(logits + added), axis=-1)
            loss = -tf.reduce_mean(each)
        return tape.gradient(loss, trained)

    known = (1 - smoothing) * np.eye(K)[batch["label"]] + smoothing / K
    if weights is not None:
        known = weights[batch["label"]][:, None] * known
    with tf.GradientTape() as outer:
        outer.watch(taught)
        ours = gradient(batch["weak"], taught, 0.0)
        theirs = gradient(batch["labeled"], known, offsets)
        pairs = zip(ours, theirs, strict=True)
        distance = tf.add_n([tf.reduce_sum((a - b) ** 2) for a, b in pairs])
    return distance, outer.gradient(distance, taught)


@pytest.fixture
def taught(rng):
    return tf.nn.softmax(tf.constant(rng.normal(size=(U, K))))


def check(model, batch, taught, compute=None, **of_oracle):
    batch = {k: tf.constant(v) for k, v in batch.items()}
    model.compile(keras.optimizers.SGD(0.1), **(compute or {}))
    before = [np.array(v) for v in model.student.variables]
    distance, gradient = label_gradient.alignment(model, batch, taught)
    for value, variable in zip(before, model.student.variables, strict=True):
        np.testing.assert_array_equal(variable, value)
    expected, by_labels = oracle(model, batch, taught, **of_oracle)
    np.testing.assert_allclose(distance, expected, rtol=1e-9)
    assert np.abs(by_labels).max() > 1e-3
    np.testing.assert_allclose(gradient, by_labels, rtol=0, atol=1e-9 * np.abs(by_labels).max())


@pytest.mark.parametrize("seed", [0, 1])
def test_it_is_the_derivative_of_the_distance(seed, convolutional, random_batch, taught):
    """Convolution, batch normalisation and dropout."""
    model = mpl_tf.LGAVAT(convolutional(1 + seed), num_unlabeled=U)
    check(model, random_batch((6, 6, 1), np.random.default_rng(seed)), taught)


def test_recomputed_passes_have_the_same(convolutional, random_batch, taught):
    model = mpl_tf.LGAVAT(convolutional(1), num_unlabeled=U)
    check(model, random_batch((6, 6, 1)), taught, {"recompute": True})


def test_microbatches_have_the_same(linear, random_batch, taught):
    model = mpl_tf.LGAVAT(linear(5, K), num_unlabeled=U)
    check(model, random_batch((5,)), taught, {"accumulate_steps": 2})


def test_the_loss_on_labels_is_smoothed_weighted_and_adjusted(linear, random_batch, taught):
    weights = np.array([0.25, 1.0, 4.0])
    model = mpl_tf.LGAVAT(
        linear(5, K), num_unlabeled=U, label_smoothing=0.1, class_weight=dict(enumerate(weights)),
        logit_adjustment=2.0,
    )  # fmt: skip
    batch = random_batch((5,)) | {"label": np.array([0, 1, 2, 2])}
    model.logit_adjustment.follow(_Counted([1, 1, 2]), K)
    offsets = 2 * np.log(np.array([1, 1, 2]) / 4)
    check(model, batch, taught, smoothing=0.1, weights=weights, offsets=offsets)


class _Counted:
    def __init__(self, counts):
        self.class_counts = np.array(counts)


def test_float16_agrees_at_the_scale_that_training_starts_with(random_batch):
    """Scaled up, the gradient is scaled down again."""
    found = []
    rng = np.random.default_rng(0)
    batch = random_batch((8, 8, 1), rng)
    batch |= {name: 255 * rng.random(batch[name].shape) for name in ("labeled", "weak")}
    taught = tf.nn.softmax(tf.constant(rng.normal(size=(U, K)), tf.float32))
    for precision in ("float32", "float16"):
        with mpl_tf.networks.precision(precision):
            network = mpl_tf.NETWORKS["small"](K, (8, 8, 1), seed=1, dropout=0.0)
        model = mpl_tf.LGAVAT(network, num_unlabeled=U)
        model.compile("sgd")
        images = {k: tf.constant(v, tf.float32) for k, v in batch.items() if k != "label"}
        known = {"label": tf.constant(batch["label"])}
        found.append(label_gradient.alignment(model, images | known, taught))
    (distance, gradient), (narrow_distance, narrow) = found
    assert float(narrow_distance) == pytest.approx(float(distance), rel=0.03)
    difference = np.linalg.norm(narrow - gradient) / np.linalg.norm(gradient)
    assert difference < 0.05
