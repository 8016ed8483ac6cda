"""ICT against hand-written numpy."""

import keras
import numpy as np
import pytest

import mpl_tf


def test_a_step_by_hand(linear, more_views, endless, by_hand, rolled):
    batch = more_views
    model = mpl_tf.ICT(
        linear(5, 3), unlabeled_weight=3.0, ramp_steps=40, label_smoothing=0.2, mixup_alpha=0.5
    )
    model.compile(keras.optimizers.SGD(0.5), weight_decay=0.1)
    model.step.assign(10)
    model.ema.set_weights(linear(5, 3).get_weights())
    start, teacher = model.student.get_weights(), model.ema.get_weights()
    model.fit(endless(batch), steps_per_epoch=1, verbose=0)
    assert [(call["alpha"], call["one_weight"]) for call in rolled] == [(0.5, True)]

    probs = by_hand.softmax(by_hand.logits(batch["weak"], teacher))
    target = 0.75 * probs + 0.25 * np.roll(probs, 1, axis=0)
    mixed = 0.75 * batch["weak"] + 0.25 * np.roll(batch["weak"], 1, axis=0)
    label = 0.8 * np.eye(3)[batch["label"]] + 0.2 / 3
    labeled = (by_hand.softmax(by_hand.logits(batch["labeled"], start)) - label) / 4
    weight = 3.0 * np.exp(-5 * 0.75**2)
    probs = by_hand.softmax(by_hand.logits(mixed, start))
    parts = [(batch["labeled"], labeled), (mixed, weight * by_hand.error_slope(probs, target) / 6)]
    expected = by_hand.step(start, parts)
    by_hand.assert_close(model.student.get_weights(), expected)
    moved = [11 / 20 * a + 9 / 20 * b for a, b in zip(teacher, expected, strict=True)]
    by_hand.assert_close(model.ema.get_weights(), moved)


def test_without_consistency_it_is_supervised_learning(after_ten_steps, supervised_steps, by_hand):
    by_hand.assert_close(after_ten_steps(mpl_tf.ICT, unlabeled_weight=0.0), supervised_steps, 1e-6)


@pytest.mark.parametrize("other", [{"seed": 1}, {"mixup_alpha": 0.0}])
def test_what_is_mixed_comes_from_the_seed(other, after_ten_steps):
    options = {"ramp_steps": 0, "unlabeled_weight": 10.0}
    first, again = (after_ten_steps(mpl_tf.ICT, **options) for _ in range(2))
    changed = after_ten_steps(mpl_tf.ICT, **options, **other)
    np.testing.assert_array_equal(first[0], again[0])
    assert not np.allclose(first[0], changed[0], atol=1e-4)
