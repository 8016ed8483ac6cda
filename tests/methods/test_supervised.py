"""Supervised learning and finetuning against hand-written numpy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import mpl_tf
from mpl_tf.engine import mixup


def labels_only(weights, batch, by_hand, smoothing=0.0):
    """(images, d loss/d logits) of the labeled images."""
    probs = by_hand.softmax(by_hand.logits(batch["labeled"], weights))
    target = by_hand.smooth(np.eye(3)[batch["label"]], smoothing)
    return batch["labeled"], (probs - target) / len(target)


def test_a_step_by_hand(linear, vectors, endless, by_hand):
    model = mpl_tf.Supervised(linear(5, 3), label_smoothing=0.2, ema_decay=0.9)
    model.compile(student_optimizer=keras.optimizers.SGD(0.5), weight_decay=0.1)
    start = model.student.get_weights()
    model.fit(endless(vectors), steps_per_epoch=1, verbose=0)
    expected = by_hand.step(start, [labels_only(start, vectors, by_hand, smoothing=0.2)])
    by_hand.assert_close(model.student.get_weights(), expected)
    ema = [0.1 * a + 0.9 * b for a, b in zip(start, expected, strict=True)]  # young: d = 1/10
    by_hand.assert_close(model.ema.get_weights(), ema)


def test_finetuning_by_hand(linear, vectors, endless, by_hand):
    """From the EMA, plain cross entropy, no label smoothing; student and EMA stay."""
    model = mpl_tf.Supervised(linear(5, 3), label_smoothing=0.2)
    model.compile(student_optimizer=keras.optimizers.SGD(0.5))
    model.fit(endless(vectors), steps_per_epoch=2, verbose=0)
    student, ema = model.student.get_weights(), model.ema.get_weights()
    sgd = keras.optimizers.SGD(0.25)
    model.finetune(endless(vectors), steps=1, optimizer=sgd, verbose=0)
    expected = by_hand.step(ema, [labels_only(ema, vectors, by_hand)], rate=0.25, decay=0)
    by_hand.assert_close(model.finetuned.get_weights(), expected)
    by_hand.assert_identical(model.student.get_weights(), student)
    by_hand.assert_identical(model.ema.get_weights(), ema)


def test_weight_decay_spares_normalisation(convolutional):
    """Where nothing but the L2 term moves weights, those of batch normalisation stay."""
    network = convolutional(0, dropout=0.0)
    model = mpl_tf.Supervised(network)
    model.compile(keras.optimizers.SGD(0.1), weight_decay=1.0)
    variables = network.trainable_variables
    for v in variables:
        v.assign(tf.ones_like(v))
    model.update(model.student_optimizer, [tf.zeros_like(v) for v in variables], variables)
    for v in variables:
        np.testing.assert_allclose(v, 1.0 if v.name in ("gamma", "beta") else 0.9, rtol=1e-6)


@pytest.fixture
def mixed_training(rng):
    """mixed_training(mix, stops, **compile_arguments): weights after three steps on 8 images."""
    images = rng.integers(0, 256, (8, 8, 8, 3)).astype(np.uint8)
    batch = {"labeled": images, "label": np.arange(8) % 2}

    def train(mix, stops=(3,), mix_probability=1.0, **arguments):
        model = mpl_tf.Supervised(
            mpl_tf.NETWORKS["mlp"](2, (8, 8, 3), dropout=0.0),
            mix=mix,
            mix_probability=mix_probability,
            seed=5,
        )
        model.compile(keras.optimizers.SGD(0.1), **arguments)
        data = tf.data.Dataset.from_tensors(batch).repeat()
        for steps in stops:
            model.fit(data, steps_per_epoch=steps, verbose=0)
        return model.student.get_weights()

    return train


@pytest.mark.parametrize(("name", "alpha"), [("mixup", 0.2), ("cutmix", 1.0)])
def test_the_student_learns_mixed_images_and_labels(name, alpha, monkeypatch):
    """By a mixing that makes all images black and moves every label to the next class."""
    function = {"mixup": "mix", "cutmix": "cutmix"}[name]
    calls = []

    def mix(images, targets, alpha, seed):
        calls.append(alpha)
        black = [tf.zeros_like(mixup.floating(part)) for part in images]
        return black, [tf.roll(part, 1, axis=1) for part in targets]

    monkeypatch.setattr(mixup, function, mix)
    images = np.full([6, 4, 4, 1], 255, np.uint8)
    batch = {"labeled": images, "label": np.zeros(6, np.int64)}
    model = mpl_tf.Supervised(
        mpl_tf.NETWORKS["mlp"](3, (4, 4, 1), dropout=0.0), mix=name, label_smoothing=0.0
    )
    model.compile(keras.optimizers.SGD(0.5))
    model.fit(tf.data.Dataset.from_tensors(batch).repeat(), steps_per_epoch=20, verbose=0)
    assert set(calls) == {alpha}
    black = np.zeros_like(images)
    assert set(np.argmax(model.student.predict(black, verbose=0), axis=1)) == {1}


@pytest.mark.parametrize("mix", ["mixup", "cutmix"])
def test_a_mixed_run_repeats_exactly_and_can_be_interrupted(mix, mixed_training):
    straight = mixed_training(mix)
    for again in (mixed_training(mix), mixed_training(mix, stops=(1, 2))):
        for one, other in zip(straight, again, strict=True):
            np.testing.assert_array_equal(one, other)
    unmixed = mixed_training("none")
    assert not np.allclose(straight[0], unmixed[0], atol=1e-4)


def test_with_probability_0_nothing_is_mixed_to_the_last_bit(mixed_training):
    unmixed = mixed_training("none", run_eagerly=True)
    for mix in ("mixup", "cutmix"):
        never = mixed_training(mix, mix_probability=0.0, run_eagerly=True)
        for one, other in zip(unmixed, never, strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_share_of_the_steps_mixes(linear):
    """The same steps in each run; a step mixes all its images or none."""
    images, label = tf.eye(6)[:, :5], tf.constant([0, 1, 2, 0, 1, 2])
    runs = []
    for probability in (0.4, 0.4, 1.0):
        model = mpl_tf.Supervised(linear(5, 3), mix="mixup", mix_probability=probability, seed=5)
        steps, target = [], model.label_target(label, tf.float32)
        for _ in range(30):
            mixed = model.targets({"labeled": images, "label": label})
            pairs = (mixed["labeled"], images), (mixed["target"], target)
            changed = {not np.array_equal(*pair) for pair in pairs}
            assert len(changed) == 1
            steps += changed
            model.step.assign_add(1)
        runs.append(steps)
    some, again, all_steps = runs
    assert some == again and all(all_steps)
    assert 0.15 < np.mean(some) < 0.65


@pytest.mark.parametrize("mix", ["mixup", "cutmix"])
def test_mixing_works_with_xla(mix, mixed_training):
    for one, other in zip(mixed_training(mix), mixed_training(mix, jit_compile=True), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5)
