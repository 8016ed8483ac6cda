"""LGA + VAT against hand-written numpy, and its limits."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import mpl_tf
from mpl_tf.runs.checkpoint import Checkpoints

# For replicas such that rounding is not magnified.
CONTRACT = {
    "replicas": {"perturbation": 0.01, "probe": 0.001, "label_learning_rate": 0.03},
}


def make(student, pool=9, **hyperparameters):
    model = mpl_tf.LGAVAT(student, num_unlabeled=pool, **{"ramp_steps": 0, **hyperparameters})
    model.compile(keras.optimizers.SGD(0.5), weight_decay=0.1)
    return model


def gradient_of_distance(batch, probs, taught, weights, smoothing, by_hand):
    """d |g_u - g_l|^2 / d q_ik of a linear network, in numpy."""
    label = (1 - smoothing) * np.eye(3)[batch["label"]] + smoothing / 3
    labeled = (by_hand.softmax(by_hand.logits(batch["labeled"], weights)) - label) / 4
    of_labels = by_hand.gradient((batch["labeled"], labeled))
    ours = by_hand.gradient((batch["weak"], (probs - taught) / 6))
    kernel, bias = (a - b for a, b in zip(ours, of_labels, strict=True))
    # g_u has -q_ik / 6 times image i in column k.
    return -2 / 6 * (batch["weak"] @ kernel + bias)


def test_two_steps_by_hand(linear, more_views, endless, by_hand):
    """The second one finds images where the first one left them, one of them twice."""
    batches = [
        more_views | {"index": np.array(o)} for o in ([4, 0, 7, 2, 5, 1], [2, 4, 8, 3, 2, 0])
    ]
    student = linear(5, 3)
    model = make(
        student, label_learning_rate=3.0, unlabeled_weight=2.0, vat_weight=0.0, label_smoothing=0.2
    )
    weights, table = student.get_weights(), np.zeros((9, 3))
    model.fit(endless(batches), steps_per_epoch=2, verbose=0)
    for batch in batches:
        taught = by_hand.softmax(table[batch["index"]])
        probs = by_hand.softmax(by_hand.logits(batch["weak"], weights))
        slope = gradient_of_distance(batch, probs, taught, weights, 0.2, by_hand)
        slope = taught * (slope - (taught * slope).sum(axis=1, keepdims=True))
        np.add.at(table, batch["index"], -3.0 * 6 * slope)
        taught = by_hand.softmax(table[batch["index"]])
        label = 0.8 * np.eye(3)[batch["label"]] + 0.2 / 3
        labeled = (by_hand.softmax(by_hand.logits(batch["labeled"], weights)) - label) / 4
        parts = [(batch["labeled"], labeled), (batch["weak"], 2.0 * (probs - taught) / 6)]
        weights = by_hand.step(weights, parts)
    np.testing.assert_allclose(model.label_table, table, atol=1e-5)
    assert np.abs(table).max() > 0.1 and not table[6].any()
    by_hand.assert_close(student.get_weights(), weights, 1e-6)  # labels are float32


def test_its_adversarial_loss_is_that_of_vat(convolutional, random_batch, endless):
    batch = random_batch((6, 6, 1)) | {"index": np.arange(6)}
    logs = []
    for method, name in ((mpl_tf.VAT, "unlabeled_loss"), (mpl_tf.LGAVAT, "vat_loss")):
        more = {"num_unlabeled": 6} if method is mpl_tf.LGAVAT else {}
        model = method(convolutional(1), seed=3, perturbation=0.5, power_iterations=2, **more)
        model.compile("sgd")
        logs.append(model.fit(endless(batch), steps_per_epoch=1, verbose=0).history[name])
    assert logs[0][0] > 1e-6
    assert logs[0] == logs[1]


def test_without_both_terms_it_is_supervised_learning(
    more_views, after_ten_steps, supervised_steps, by_hand
):
    del more_views  # completes the batch
    weights = after_ten_steps(mpl_tf.LGAVAT, num_unlabeled=6, unlabeled_weight=0.0, vat_weight=0.0)
    by_hand.assert_close(weights, supervised_steps, 1e-6)


def test_at_rate_0_labels_stay_what_they_were(linear, more_views, endless):
    model = make(linear(5, 3), label_learning_rate=0.0)
    before = np.random.default_rng(2).normal(size=(9, 3)).astype("float32")
    model.label_table.assign(before)
    logs = model.fit(endless(more_views), steps_per_epoch=3, verbose=0).history
    np.testing.assert_array_equal(model.label_table, before)
    assert "label_distance" not in logs


def test_labels_are_distributions_whatever_their_rate(linear, more_views, endless):
    model = make(linear(5, 3), label_learning_rate=1e6)
    model.fit(endless(more_views), steps_per_epoch=4, verbose=0)
    learned = model.learned(tf.range(9)).numpy()
    assert np.abs(learned[:6] - 1 / 3).max() > 0.3
    assert (learned >= 0).all()
    np.testing.assert_allclose(learned.sum(axis=1), 1, rtol=1e-6)


def test_labels_of_a_network_that_rests_bring_the_gradients_together(linear, rng, endless):
    """The unlabeled images are the labeled ones: their labels become the true ones."""
    images, label = rng.normal(size=(6, 5)), np.array([0, 1, 2, 2, 1, 0])
    batch = {"labeled": images, "label": label, "weak": images, "index": np.arange(6)}
    model = mpl_tf.LGAVAT(linear(5, 3), num_unlabeled=6, label_learning_rate=3.0)
    model.compile(keras.optimizers.SGD(0.0))
    logs = model.fit(endless(batch), steps_per_epoch=1, epochs=150, verbose=0).history
    distance = logs["label_distance"]
    assert distance[-1] < 0.1 * distance[0]
    assert (np.diff(distance) <= 1e-9).all()
    np.testing.assert_array_equal(np.argmax(model.label_table, axis=1), label)


def test_the_weight_rises(linear, more_views, endless):
    model = make(linear(5, 3), ramp_steps=4, unlabeled_weight=3.0, vat_weight=2.0)
    logs = model.fit(endless(more_views), steps_per_epoch=1, epochs=3, verbose=0).history
    for step in range(3):
        supervised, unlabeled, vat, total = (
            logs[name][step]
            for name in ("supervised_loss", "unlabeled_loss", "vat_loss", "student_loss")
        )
        expected = supervised + 3.0 * step / 4 * unlabeled + 2.0 * vat
        assert total == pytest.approx(expected, abs=1e-6)


def test_labeled_images_alone_make_the_moving_statistics(convolutional, random_batch, endless):
    batch = random_batch((6, 6, 1)) | {"index": np.arange(6)}
    moved = []
    for method, more in ((mpl_tf.LGAVAT, {"num_unlabeled": 6}), (mpl_tf.Supervised, {})):
        model = method(convolutional(1), **more)
        model.compile(keras.optimizers.SGD(0.0))
        model.fit(endless(batch), steps_per_epoch=2, verbose=0)
        moved.append([np.array(v) for v in model.variables if "moving" in v.path])
    for a, b in zip(*moved, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_resumed_run_has_its_labels(linear, more_views, endless, tmp_path):
    model = make(linear(5, 3))
    model.fit(endless(more_views), steps_per_epoch=2, verbose=0)
    Checkpoints(model, str(tmp_path)).save(2)
    again = make(linear(5, 3))
    Checkpoints(again, str(tmp_path)).restore()
    assert np.abs(np.array(model.label_table)).max() > 0
    np.testing.assert_array_equal(again.label_table, model.label_table)
