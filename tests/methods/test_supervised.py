"""Supervised learning and finetuning against hand-written numpy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import mpl_tf
from mpl_tf.engine.update import reduce_gradient


@pytest.fixture
def data(rng):
    batch = {"labeled": rng.normal(size=(8, 4)), "label": rng.integers(3, size=8)}
    return batch, tf.data.Dataset.from_tensors(batch).repeat()


def gradient(weights, batch, smoothing=0.0):
    z = batch["labeled"] @ weights[0] + weights[1]
    probs = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    target = (1 - smoothing) * np.eye(3)[batch["label"]] + smoothing / 3
    dz = (probs - target) / len(z)
    return [batch["labeled"].T @ dz, dz.sum(axis=0)]


def assert_close(got, expected):
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-7)


def test_a_step_by_hand(linear, data):
    batch, endless = data
    model = mpl_tf.Supervised(linear(4, 3), label_smoothing=0.2, ema_decay=0.9)
    model.compile(student_optimizer=keras.optimizers.SGD(0.5), weight_decay=0.1)
    start = model.student.get_weights()
    model.fit(endless, steps_per_epoch=1, verbose=0)
    expected = [
        w - 0.5 * (g + 0.1 * w) for w, g in zip(start, gradient(start, batch, 0.2), strict=True)
    ]
    assert_close(model.student.get_weights(), expected)
    ema = [0.1 * a + 0.9 * b for a, b in zip(start, expected, strict=True)]  # young: d = 1/10
    assert_close(model.ema.get_weights(), ema)


def test_finetuning_by_hand(linear, data):
    """From the EMA, plain cross entropy, no label smoothing; student and EMA stay."""
    batch, endless = data
    model = mpl_tf.Supervised(linear(4, 3), label_smoothing=0.2)
    model.compile(student_optimizer=keras.optimizers.SGD(0.5))
    model.fit(endless, steps_per_epoch=2, verbose=0)
    student, ema = model.student.get_weights(), model.ema.get_weights()
    model.finetune(endless, steps=1, optimizer=keras.optimizers.SGD(0.25), verbose=0)
    expected = [w - 0.25 * g for w, g in zip(ema, gradient(ema, batch), strict=True)]
    assert_close(model.finetuned.get_weights(), expected)
    assert_close(model.student.get_weights(), student)
    assert_close(model.ema.get_weights(), ema)


def test_weight_decay_spares_normalisation(convolutional, rng):
    network = convolutional(0, dropout=0.0)
    model = mpl_tf.Supervised(network)
    model.compile(student_optimizer=keras.optimizers.SGD(0.0), weight_decay=10.0)
    decayed = {
        v.name
        for v, g in zip(
            network.trainable_variables,
            reduce_gradient([None] * 5, network.trainable_variables, 10.0),
            strict=True,
        )
        if np.any(g != 10.0 * v.numpy()) is np.False_ and np.any(v.numpy())
    }
    assert decayed == {"kernel"}  # biases start at 0
    by_name = dict(
        zip(
            [v.name for v in network.trainable_variables],
            reduce_gradient([None] * 5, network.trainable_variables, 10.0),
            strict=True,
        )
    )
    assert not np.any(by_name["gamma"])


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_mixed_images_and_labels_are_what_the_student_learns(kind, monkeypatch):
    from mpl_tf.augment import mixing

    seen = {}

    def mix(kind, images, targets):
        seen["kind"] = kind
        return tf.zeros_like(tf.cast(images, tf.float32)), tf.roll(targets, 1, axis=1)

    monkeypatch.setattr(mixing, "mix", mix)
    images = np.zeros([6, 4, 4, 1], np.uint8)
    batch = {"labeled": images, "label": np.zeros(6, np.int64)}
    model = mpl_tf.Supervised(
        mpl_tf.NETWORKS["mlp"](3, (4, 4, 1), dropout=0.0), mix=kind, label_smoothing=0.0
    )
    model.compile(keras.optimizers.SGD(0.5))
    model.fit(tf.data.Dataset.from_tensors(batch).repeat(), steps_per_epoch=20, verbose=0)
    assert seen["kind"] == kind
    assert set(np.argmax(model.student.predict(images, verbose=0), axis=1)) == {1}  # rolled


def test_mixing_by_keras_cv_runs_in_a_compiled_step():
    images = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3)).astype(np.uint8)
    data = mpl_tf.data.pair(
        (images, np.arange(8) % 2), labeled_batch=8, unlabeled_ratio=1, strong=None
    )
    model = mpl_tf.Supervised(mpl_tf.NETWORKS["mlp"](2, (8, 8, 3)), mix="cutmix")
    model.compile(keras.optimizers.SGD(0.1))
    history = model.fit(data, steps_per_epoch=2, verbose=0)
    assert np.isfinite(history.history["student_loss"][0])
