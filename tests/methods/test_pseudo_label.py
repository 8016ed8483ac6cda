"""Pseudo Labels against hand-written numpy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import mpl_tf


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def logits(x, weights):
    return x @ weights[0] + weights[1]


def gradient(x, dz):
    return [x.T @ dz, dz.sum(axis=0)]


def assert_close(got, expected):
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-7)


@pytest.fixture
def batch(rng):
    return {
        "labeled": rng.normal(size=(4, 5)),
        "label": rng.integers(3, size=4),
        "weak": rng.normal(size=(6, 5)),
        "strong": rng.normal(size=(6, 5)),
    }


def endless(batch):
    return tf.data.Dataset.from_tensors(batch).repeat()


def make(linear, learns=True, **hyperparameters):
    """A compiled method; without `learns` its teacher counts as trained."""
    model = mpl_tf.PseudoLabel(linear(5, 3), linear(5, 3), **hyperparameters)
    model.compile(
        student_optimizer=keras.optimizers.SGD(0.5),
        teacher_optimizer=keras.optimizers.SGD(0.25) if learns else None,
        weight_decay=0.1,
    )
    return model


@pytest.mark.parametrize("hard", [False, True])
def test_a_step_by_hand(hard, linear, batch):
    model = make(linear, False, hard_labels=hard, pseudo_label_threshold=0.6, label_smoothing=0.2)
    teacher, student = model.teacher.get_weights(), model.student.get_weights()
    model.fit(endless(batch), steps_per_epoch=1, verbose=0)
    probs = softmax(logits(batch["weak"], teacher))
    mask = probs.max(axis=1) >= 0.6
    assert 0 < mask.sum() < 6  # the threshold matters here
    target = 0.8 * (np.eye(3)[probs.argmax(axis=1)] if hard else probs) + 0.2 / 3
    dz = mask[:, None] * (softmax(logits(batch["strong"], student)) - target) / 6
    expected = [
        w - 0.5 * (g + 0.1 * w) for w, g in zip(student, gradient(batch["strong"], dz), strict=True)
    ]
    assert_close(model.student.get_weights(), expected)
    for a, b in zip(teacher, model.teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)  # fixed: not a bit moves


def test_the_teacher_learns_labels_by_hand(linear, batch):
    model = make(linear, label_smoothing=0.2)
    teacher, student = model.teacher.get_weights(), model.student.get_weights()
    model.pretrain(endless(batch), steps=1, verbose=0)
    target = 0.8 * np.eye(3)[batch["label"]] + 0.2 / 3
    dz = (softmax(logits(batch["labeled"], teacher)) - target) / 4
    moved = gradient(batch["labeled"], dz)
    expected = [w - 0.25 * (g + 0.1 * w) for w, g in zip(teacher, moved, strict=True)]
    assert_close(model.teacher.get_weights(), expected)
    assert_close(model.student.get_weights(), student)


def test_the_teacher_predicts_without_noise(convolutional, rng):
    """No dropout, and its batch statistics stay: the same images get the same labels."""
    images = {k: rng.normal(size=(6, 6, 6, 1)) for k in ("labeled", "weak", "strong")}
    batch = {**images, "label": rng.integers(3, size=6)}
    model = mpl_tf.PseudoLabel(convolutional(1), convolutional(2))
    model.compile(student_optimizer=keras.optimizers.SGD(0.1), teacher_optimizer=None)
    before = [v.numpy() for v in model.teacher.variables]
    model.fit(endless(batch), steps_per_epoch=2, verbose=0)
    for a, b in zip(before, model.teacher.variables, strict=True):
        np.testing.assert_array_equal(a, b.numpy())


def test_a_teacher_that_was_never_trained_is_refused(linear, batch):
    model = make(linear)
    with pytest.raises(ValueError, match="has learned nothing yet: call pretrain"):
        model.fit(endless(batch), steps_per_epoch=1)
    model.pretrain(endless(batch), steps=1, verbose=0)
    model.fit(endless(batch), steps_per_epoch=1, verbose=0)
