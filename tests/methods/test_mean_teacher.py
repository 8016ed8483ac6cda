"""Mean Teacher against hand-written numpy."""

import keras
import numpy as np
import pytest

import mpl_tf


def test_a_step_by_hand(linear, more_views, endless, by_hand):
    batch = more_views
    model = mpl_tf.MeanTeacher(
        linear(5, 3), unlabeled_weight=3.0, ramp_steps=40, label_smoothing=0.2
    )
    model.compile(keras.optimizers.SGD(0.5), weight_decay=0.1)
    model.step.assign(10)
    model.ema.set_weights(linear(5, 3).get_weights())
    start, teacher = model.student.get_weights(), model.ema.get_weights()
    model.fit(endless(batch), steps_per_epoch=1, verbose=0)

    target = by_hand.softmax(by_hand.logits(batch["weak_2"], teacher))
    label = 0.8 * np.eye(3)[batch["label"]] + 0.2 / 3
    labeled = (by_hand.softmax(by_hand.logits(batch["labeled"], start)) - label) / 4
    probs = by_hand.softmax(by_hand.logits(batch["weak"], start))
    weight = 3.0 * np.exp(-5 * 0.75**2)
    weak = weight * by_hand.error_slope(probs, target) / 6
    expected = by_hand.step(start, [(batch["labeled"], labeled), (batch["weak"], weak)])
    by_hand.assert_close(model.student.get_weights(), expected)
    d = 11 / 20  # the average is young
    moved = [d * a + (1 - d) * b for a, b in zip(teacher, expected, strict=True)]
    by_hand.assert_close(model.ema.get_weights(), moved)


@pytest.mark.usefixtures("more_views")
def test_without_consistency_it_is_supervised_learning(after_ten_steps, supervised_steps, by_hand):
    weights = after_ten_steps(mpl_tf.MeanTeacher, unlabeled_weight=0.0)
    by_hand.assert_close(weights, supervised_steps, 1e-6)


def test_the_teacher_predicts_in_training_mode(convolutional, rng, endless):
    """It draws dropout masks, and the statistics of its batch move its moving statistics."""
    images = {k: rng.normal(size=(6, 6, 6, 1)) for k in ("labeled", "weak", "weak_2")}
    model = mpl_tf.MeanTeacher(convolutional(1), ema_decay=0.0)
    model.compile(keras.optimizers.SGD(0.0))
    seeds = [v for v in model.ema.non_trainable_variables if "seed" in v.path]
    drawn = [np.array(v) for v in seeds]
    seen = []
    assert seeds
    model.forward = _Watched(model.forward, model.ema, seen)
    batch = {**images, "label": rng.integers(3, size=6)}
    model.fit(endless(batch), steps_per_epoch=1, verbose=0, renew_statistics=False)
    assert seen == [1]  # one view, by itself
    assert all(np.any(np.array(v) != old) for v, old in zip(seeds, drawn, strict=True))


class _Watched:
    """Passes that note how many parts go through a network at once."""

    def __init__(self, forward, network, seen):
        self.forward, self.network, self.seen = forward, network, seen

    def __call__(self, network, *parts, **kwargs):
        if network is self.network:
            self.seen.append(len(parts))
        return self.forward(network, *parts, **kwargs)

    def __getattr__(self, name):
        return getattr(self.forward, name)
