"""ReMixMatch against hand-written numpy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import mpl_tf
from mpl_tf.methods import remixmatch

# Points cannot be turned.
CONTRACT = {
    "moons": {"rotation_weight": 0.0, "strong_views": 2},
    "replicas": {"strong_views": 2},
}


def log_softmax(z):
    return z - np.log(np.exp(z).sum(axis=1, keepdims=True))


@pytest.mark.parametrize("align", [True, False])
def test_a_step_by_hand(align, linear, more_views, endless, by_hand, rolled):
    batch = more_views
    model = mpl_tf.ReMixMatch(
        linear(5, 3),
        strong_views=2,
        temperature=0.4,
        align=align,
        unlabeled_weight=3.0,
        anchor_weight=2.0,
        rotation_weight=0.0,
        ramp_steps=40,
        label_smoothing=0.2,
    )
    assert tuple(model.unlabeled_views) == ("weak", "strong", "strong_2")
    model.compile(keras.optimizers.SGD(0.5), weight_decay=0.1)
    model.step.assign(10)
    before = np.full([128, 3], 1 / 3)
    before[:10] = [0.7, 0.2, 0.1]
    model.predicted.assign(before)
    model.label_counts.assign([3.0, 2.0, 2.0])
    start = model.student.get_weights()
    model.fit(endless(batch), steps_per_epoch=1, verbose=0)
    assert [(call["alpha"], call["keep_larger"]) for call in rolled] == [(0.75, True)]

    probs = by_hand.softmax(by_hand.logits(batch["weak"], start))
    counts = [3, 2, 2] + np.eye(3)[batch["label"]].mean(axis=0)
    guess = probs
    if align:
        guess = probs * (counts / counts.sum() + 1e-6) / (before.mean(axis=0) + 1e-6)
    guess = guess ** (1 / 0.4)
    guess /= guess.sum(axis=1, keepdims=True)
    images = np.concatenate([batch[v] for v in ("labeled", "weak", "strong", "strong_2")])
    target = np.concatenate([0.8 * np.eye(3)[batch["label"]] + 0.2 / 3, guess, guess, guess])
    images, target = (0.75 * x + 0.25 * np.roll(x, 1, axis=0) for x in (images, target))
    slope = by_hand.softmax(by_hand.logits(images, start)) - target
    slope[:4] /= 4
    slope[4:] *= 0.25 * 3.0 / 18
    anchor = by_hand.softmax(by_hand.logits(batch["strong"], start)) - guess
    parts = [(images, slope), (batch["strong"], 0.25 * 2.0 * anchor / 6)]
    by_hand.assert_close(model.student.get_weights(), by_hand.step(start, parts), 1e-6)
    np.testing.assert_allclose(model.label_counts, counts, atol=1e-6)
    before[10] = probs.mean(axis=0)  # as they were, not as they were aligned
    np.testing.assert_allclose(model.predicted, before, atol=1e-6)


def test_no_mixing_and_no_weights_is_supervised_learning(
    more_views, after_ten_steps, supervised_steps, by_hand
):
    del more_views  # completes the batch
    weights = dict.fromkeys(("unlabeled_weight", "anchor_weight", "rotation_weight"), 0.0)
    trained = after_ten_steps(mpl_tf.ReMixMatch, **weights, mixup_alpha=0.0, strong_views=2)
    by_hand.assert_close(trained, supervised_steps, 1e-6)


def test_turned_images_by_hand(rng, endless):
    """The head learns from features, the student through them, and its logits stay [N, K]."""
    layers = keras.layers
    x = inputs = keras.Input([4, 4, 1], dtype="float64")
    x = layers.Flatten(dtype="float64")(x)
    student = keras.Model(inputs, layers.Dense(3, dtype="float64")(x))
    batch = {v: rng.normal(size=(6, 4, 4, 1)) for v in ("labeled", "weak", "strong")}
    batch["label"] = rng.integers(3, size=6)
    model = mpl_tf.ReMixMatch(
        student, strong_views=1, unlabeled_weight=0.0, anchor_weight=0.0, rotation_weight=2.0
    )
    model.compile(keras.optimizers.SGD(0.5))
    (head,) = (layer for layer in model.trained.layers if layer.name == "rotation")
    kernel, bias = (w.astype("float64") for w in head.get_weights())
    history = model.fit(endless(batch), steps_per_epoch=1, verbose=0).history

    turns = np.array([0, 1, 2, 3, 0, 1])
    features = np.stack(
        [np.rot90(i, t).ravel() for i, t in zip(batch["strong"], turns, strict=True)]
    )
    told = log_softmax(features @ kernel + bias)
    assert history["rotation_loss"][0] == pytest.approx(-told[np.arange(6), turns].mean(), 1e-6)
    slope = 2.0 * (np.exp(told) - np.eye(4)[turns]) / 6
    np.testing.assert_allclose(head.get_weights()[0], kernel - 0.5 * features.T @ slope, atol=1e-6)
    assert model.student.output_shape == (None, 3)
    assert all(network is not model.trained for network in model.networks.values())


def test_quarter_turns():
    images = np.arange(7 * 9.0).reshape(7, 3, 3, 1)
    turned, turns = remixmatch.quarter_turns(tf.constant(images))
    assert list(turns.numpy()) == [0, 1, 2, 3, 0, 1, 2]
    for image, turned_image, turn in zip(images, turned.numpy(), turns.numpy(), strict=True):
        np.testing.assert_array_equal(turned_image, np.rot90(image, turn))


def test_images_that_cannot_be_turned_are_refused():
    inputs = keras.Input([4, 5, 1])
    network = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(inputs)))
    with pytest.raises(mpl_tf.ConfigError, match=r"rotation_weight needs .* square images"):
        mpl_tf.ReMixMatch(network)
    assert mpl_tf.ReMixMatch(network, rotation_weight=0.0).trained is network


def test_features_are_not_turned(linear):
    network = linear(5, 3)
    assert mpl_tf.ReMixMatch(network, rotation_weight=0.5).trained is network
