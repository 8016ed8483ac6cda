"""FixMatch against hand-written numpy."""

import keras
import numpy as np
import pytest

import mpl_tf

CONTRACT = {"replicas": {"threshold": 0.4}}  # some images pass, others do not


def test_a_step_by_hand(linear, vectors, endless, by_hand):
    model = mpl_tf.FixMatch(
        linear(5, 3), threshold=0.8, unlabeled_weight=2.0, label_smoothing=0.2, ema_decay=0.9
    )
    model.compile(keras.optimizers.SGD(0.5), weight_decay=0.1)
    start = model.student.get_weights()
    model.fit(endless(vectors), steps_per_epoch=1, verbose=0)

    probs = by_hand.softmax(by_hand.logits(vectors["weak"], start))
    mask = probs.max(axis=1) >= 0.8
    assert 0 < mask.sum() < 6  # the threshold matters here
    target = 0.8 * np.eye(3)[vectors["label"]] + 0.2 / 3
    labeled = (by_hand.softmax(by_hand.logits(vectors["labeled"], start)) - target) / 4
    strong = by_hand.softmax(by_hand.logits(vectors["strong"], start))
    strong = 2.0 * mask[:, None] * (strong - np.eye(3)[probs.argmax(axis=1)]) / 6
    parts = [(vectors["labeled"], labeled), (vectors["strong"], strong)]  # none through `weak`
    expected = by_hand.step(start, parts)
    by_hand.assert_close(model.student.get_weights(), expected)
    ema = [0.1 * a + 0.9 * b for a, b in zip(start, expected, strict=True)]  # young: d = 1/10
    by_hand.assert_close(model.ema.get_weights(), ema)


@pytest.mark.parametrize("limit", [{"unlabeled_weight": 0.0}, {"threshold": 1.01}])
def test_limits_are_supervised_learning(limit, after_ten_steps, supervised_steps, by_hand):
    by_hand.assert_close(after_ten_steps(mpl_tf.FixMatch, **limit), supervised_steps, 1e-6)


def test_without_a_limit_it_is_something_else(after_ten_steps, supervised_steps):
    moved = after_ten_steps(mpl_tf.FixMatch, threshold=0.5)
    assert max(np.abs(a - b).max() for a, b in zip(moved, supervised_steps, strict=True)) > 1e-3


def test_all_parts_share_one_batch(convolutional, rng, endless):
    """Batch statistics after a step are those of labeled, weak and strong images together."""
    images = {k: rng.normal(size=(4, 6, 6, 1)) for k in ("labeled", "weak", "strong")}
    batch = {**images, "label": rng.integers(3, size=4)}
    student = convolutional(0, dropout=0.0)
    normalisation = student.layers[2]
    joint = student.layers[1](np.concatenate(list(images.values())))
    expected = np.mean(joint, axis=(0, 1, 2))  # of the first pass alone
    model = mpl_tf.FixMatch(student)
    model.compile(keras.optimizers.SGD(0.0))
    model.fit(endless(batch), steps_per_epoch=1, verbose=0)
    np.testing.assert_allclose(normalisation.moving_mean, expected, atol=1e-6)
