"""MixMatch against hand-written numpy."""

import keras
import numpy as np

import mpl_tf
from mpl_tf.engine import guessed_labels


def test_a_step_by_hand(linear, more_views, endless, by_hand, rolled):
    batch = more_views
    model = mpl_tf.MixMatch(
        linear(5, 3), unlabeled_weight=3.0, ramp_steps=40, label_smoothing=0.2, temperature=0.4
    )
    model.compile(keras.optimizers.SGD(0.5), weight_decay=0.1)
    model.step.assign(10)
    start = model.student.get_weights()
    model.fit(endless(batch), steps_per_epoch=1, verbose=0)
    assert [(call["alpha"], call["keep_larger"]) for call in rolled] == [(0.75, True)]

    views = [by_hand.softmax(by_hand.logits(batch[v], start)) for v in ("weak", "weak_2")]
    guess = ((views[0] + views[1]) / 2) ** (1 / 0.4)
    guess /= guess.sum(axis=1, keepdims=True)
    images = np.concatenate([batch[v] for v in ("labeled", "weak", "weak_2")])
    target = np.concatenate([0.8 * np.eye(3)[batch["label"]] + 0.2 / 3, guess, guess])
    images, target = (0.75 * x + 0.25 * np.roll(x, 1, axis=0) for x in (images, target))
    probs = by_hand.softmax(by_hand.logits(images, start))
    labeled = (probs - target)[:4] / 4
    unlabeled = 3.0 * 0.25 * by_hand.error_slope(probs, target)[4:] / 12
    expected = by_hand.step(start, [(images, np.concatenate([labeled, unlabeled]))])
    by_hand.assert_close(model.student.get_weights(), expected)


def test_no_mixing_and_no_weight_is_supervised_learning(
    more_views, after_ten_steps, supervised_steps, by_hand
):
    del more_views  # completes the batch
    weights = after_ten_steps(mpl_tf.MixMatch, unlabeled_weight=0.0, mixup_alpha=0.0)
    by_hand.assert_close(weights, supervised_steps, 1e-6)
    mixed = after_ten_steps(mpl_tf.MixMatch, unlabeled_weight=0.0)
    assert not np.allclose(mixed[0], weights[0], atol=1e-4)


def test_guessing_leaves_no_trace(convolutional, rng, by_hand):
    network = convolutional(1)
    model = mpl_tf.MixMatch(network)
    views = [rng.normal(size=(6, 6, 6, 1)) for _ in range(2)]
    before = [np.array(v) for v in network.variables]
    guess = guessed_labels.guess(model, views, 0.5).numpy()
    by_hand.assert_identical(before, network.variables)
    np.testing.assert_allclose(guess.sum(axis=1), 1)
    quiet = network(np.concatenate(views), training=False).numpy()
    assert not np.allclose(guess, quiet[:6])  # in training mode: batch statistics, dropout
