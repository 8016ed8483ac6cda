"""VAT and its perturbation against hand-written numpy."""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf

import mpl_tf
from mpl_tf.engine import adversarial
from mpl_tf.formulas import losses, random

# For replicas such that rounding is not magnified.
CONTRACT = {"replicas": {"perturbation": 0.01, "probe": 0.001}}


def unit(d):
    return d / np.linalg.norm(d, axis=1, keepdims=True)


@pytest.mark.parametrize(("iterations", "parts"), [(1, 1), (3, 2)])
def test_a_step_by_hand(iterations, parts, linear, vectors, endless, by_hand):
    batch = vectors
    model = mpl_tf.VAT(
        linear(5, 3),
        perturbation=10.0,
        probe=2.0,
        power_iterations=iterations,
        unlabeled_weight=2.0,
        entropy_weight=0.5,
        label_smoothing=0.2,
        seed=7,
    )
    model.compile(keras.optimizers.SGD(0.5), weight_decay=0.1, accumulate_steps=parts)
    model.step.assign(10)
    start = model.student.get_weights()
    drawn = random.normal(model.draw_seed(), [1, 6, 5], tf.float64)[0].numpy()
    model.fit(endless(batch), steps_per_epoch=1, verbose=0)

    x, direction = batch["weak"], unit(drawn)
    length = np.linalg.norm(x, axis=1, keepdims=True) / np.sqrt(3072)  # of features
    p = by_hand.softmax(by_hand.logits(x, start))
    for _ in range(iterations):
        q = by_hand.softmax(by_hand.logits(x + 2.0 * length * direction, start))
        direction = unit((q - p) @ start[0].T)  # of KL(p || q), by what was added
    changed = x + 10.0 * length * direction
    q = by_hand.softmax(by_hand.logits(changed, start))
    entropy = -(p * np.log(p)).sum(axis=1, keepdims=True)
    label = 0.8 * np.eye(3)[batch["label"]] + 0.2 / 3
    labeled = (by_hand.softmax(by_hand.logits(batch["labeled"], start)) - label) / 4
    expected = by_hand.step(
        start,
        [
            (batch["labeled"], labeled),
            (changed, 2.0 * (q - p) / 6),
            (x, 0.5 * -p * (np.log(p) + entropy) / 6),
        ],
    )
    by_hand.assert_close(model.student.get_weights(), expected)


def test_without_both_terms_it_is_supervised_learning(after_ten_steps, supervised_steps, by_hand):
    weights = after_ten_steps(mpl_tf.VAT, unlabeled_weight=0.0, entropy_weight=0.0)
    by_hand.assert_close(weights, supervised_steps, 1e-6)


def test_the_perturbation_moves_predictions_more_than_chance(convolutional, rng):
    """On a network with batch normalisation and dropout, in float32."""
    network = convolutional(1, dtype="float32")
    model = mpl_tf.VAT(network)
    model.compile(keras.optimizers.SGD(0.1))
    images = tf.constant(255 * rng.random((32, 6, 6, 1)), tf.float32)
    (logits,) = model.forward(network, images, keep_state=True)
    worst = adversarial.perturbation(model, images, logits, 0.5, 0.1, 1)
    length = 0.5 * 255 * np.sqrt(36 / 3072)
    np.testing.assert_allclose(np.linalg.norm(worst.numpy().reshape(32, -1), axis=1), length, 1e-4)
    moved = []
    chance = length * unit(rng.normal(size=(32, 36))).reshape(images.shape)
    for change in (worst, tf.constant(chance, tf.float32)):
        (other,) = model.forward(network, images + change, keep_state=True)
        moved.append(float(tf.reduce_mean(losses.divergence(logits, other))))
    assert moved[0] > 2 * moved[1]


def test_labeled_images_alone_make_the_moving_statistics(convolutional, rng, endless, by_hand):
    images = {k: rng.normal(size=(6, 6, 6, 1)) for k in ("labeled", "weak")}
    batch = {**images, "label": rng.integers(3, size=6)}
    moved = []
    for method in (mpl_tf.VAT, mpl_tf.Supervised):
        model = method(convolutional(1))
        model.compile(keras.optimizers.SGD(0.0))
        model.fit(endless(batch), steps_per_epoch=2, verbose=0)
        moved.append([np.array(v) for v in model.student.non_trainable_variables])
    by_hand.assert_identical(*moved)


def test_a_slope_of_0_gives_no_perturbation_and_a_tiny_one_its_direction(linear):
    """Squares of numbers so small are 0 in float32."""
    slope = tf.constant([[0.0, 0.0], [3e-30, 4e-30]])
    model = mpl_tf.VAT(linear(2, 3))
    model.compile("sgd")
    model.forward = types.SimpleNamespace(gradient_by_images=lambda *_: slope)
    images = tf.constant([[1.0, 2.0], [7.0, 24.0]])
    change = adversarial.perturbation(model, images, tf.zeros([2, 3]), 0.5, 0.1, 1)
    length = 0.5 * 25 / np.sqrt(3072)
    np.testing.assert_allclose(change, length * np.array([[0, 0], [0.6, 0.8]]), rtol=1e-6)


def test_features_are_perturbed_in_proportion_to_their_length(linear, rng):
    model = mpl_tf.VAT(linear(5, 3))
    model.compile("sgd")
    features = tf.constant(rng.normal(size=(6, 5)) * [[1e-3], [1], [1], [1], [1], [1e3]])
    (logits,) = model.forward(model.student, features, keep_state=True)
    change = adversarial.perturbation(model, features, logits, 8.0, 0.1, 1)
    change = np.linalg.norm(change, axis=1)
    share = change / np.linalg.norm(features, axis=1)
    np.testing.assert_allclose(share, 8 / np.sqrt(3072), rtol=1e-5)
