"""Pseudo Labels against hand-written numpy."""

import functools

import keras
import numpy as np
import pytest

import mpl_tf

# The student sees no label before it is finetuned, and its teacher learns from nothing else.
CONTRACT = {"no_better_on": ("digits", "moons")}


@pytest.fixture
def make(with_teacher):
    """make(learns=True, **hyperparameters): the method, compiled; see `with_teacher`."""
    return functools.partial(with_teacher, mpl_tf.PseudoLabel)


@pytest.mark.parametrize("hard", [False, True])
def test_a_step_by_hand(hard, make, vectors, endless, by_hand):
    model = make(False, hard_labels=hard, pseudo_label_threshold=0.6, label_smoothing=0.2)
    teacher, student = model.teacher.get_weights(), model.student.get_weights()
    model.fit(endless(vectors), steps_per_epoch=1, verbose=0)
    probs = by_hand.softmax(by_hand.logits(vectors["weak"], teacher))
    mask = probs.max(axis=1) >= 0.6
    assert 0 < mask.sum() < 6  # the threshold matters here
    target = by_hand.smooth(np.eye(3)[probs.argmax(axis=1)] if hard else probs, 0.2)
    strong = by_hand.softmax(by_hand.logits(vectors["strong"], student))
    parts = [(vectors["strong"], mask[:, None] * (strong - target) / 6)]
    by_hand.assert_close(model.student.get_weights(), by_hand.step(student, parts))
    by_hand.assert_identical(teacher, model.teacher.get_weights())  # fixed: not a bit moves


def test_the_teacher_learns_labels_by_hand(make, vectors, endless, by_hand):
    model = make(label_smoothing=0.2)
    teacher, student = model.teacher.get_weights(), model.student.get_weights()
    model.pretrain(endless(vectors), steps=1, verbose=0)
    target = by_hand.smooth(np.eye(3)[vectors["label"]], 0.2)
    labeled = by_hand.softmax(by_hand.logits(vectors["labeled"], teacher))
    parts = [(vectors["labeled"], (labeled - target) / 4)]
    by_hand.assert_close(model.teacher.get_weights(), by_hand.step(teacher, parts, rate=0.25))
    by_hand.assert_identical(model.student.get_weights(), student)


def test_the_teacher_predicts_without_noise(convolutional, random_batch, endless, by_hand):
    """No dropout, and its batch statistics stay: the same images get the same labels."""
    model = mpl_tf.PseudoLabel(convolutional(1), convolutional(2))
    model.compile(student_optimizer=keras.optimizers.SGD(0.1), teacher_optimizer=None)
    before = [v.numpy() for v in model.teacher.variables]
    model.fit(endless(random_batch((6, 6, 1))), steps_per_epoch=2, verbose=0)
    by_hand.assert_identical(before, model.teacher.variables)


def test_a_teacher_that_was_never_trained_is_refused(make, vectors, endless):
    model = make()
    with pytest.raises(ValueError, match="learned nothing yet, teacher: call pretrain"):
        model.fit(endless(vectors), steps_per_epoch=1)
    model.pretrain(endless(vectors), steps=1, verbose=0)
    model.fit(endless(vectors), steps_per_epoch=1, verbose=0)
