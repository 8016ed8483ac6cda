"""AdaMatch against hand-written numpy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import mpl_tf
from mpl_tf.formulas import random

CONTRACT = {"replicas": {"threshold": 0.8}}


@pytest.mark.parametrize("align", [True, False])
def test_two_steps_by_hand(linear, vectors, endless, by_hand, align):
    """A linear network has one logit for an image whatever the batch: they are interpolated."""
    weight, threshold = 2.0, 1.05
    model = mpl_tf.AdaMatch(
        linear(5, 3),
        threshold=threshold,
        unlabeled_weight=weight,
        ramp_steps=4,
        align=align,
        interpolate=True,
    )
    model.compile(keras.optimizers.SGD(0.5), weight_decay=0.1)
    weights = model.student.get_weights()
    model.fit(endless(vectors), steps_per_epoch=2, verbose=0)

    for ramp in (0.0, (1 - np.cos(np.pi / 4)) / 2):
        p = by_hand.softmax(by_hand.logits(vectors["labeled"], weights))
        q = by_hand.softmax(by_hand.logits(vectors["weak"], weights))
        if align:
            q = q * p.mean(axis=0) / q.mean(axis=0)
            q /= q.sum(axis=1, keepdims=True)
        mask = q.max(axis=1) >= threshold * p.max(axis=1).mean()
        assert 0 < mask.sum() < 6
        r = by_hand.softmax(by_hand.logits(vectors["strong"], weights))
        parts = [
            (vectors["labeled"], (p - np.eye(3)[vectors["label"]]) / 4),
            (vectors["strong"], ramp * weight * mask[:, None] * (r - q) / 6),
        ]
        weights = by_hand.step(weights, parts)
    by_hand.assert_close(model.student.get_weights(), weights, 1e-5)


def test_logits_are_between_those_of_two_batches(convolutional, random_batch, endless, by_hand):
    """The gradient of a step by hand: batch normalisation tells the two batches apart."""
    batch = random_batch((6, 6, 1))
    network = convolutional(0, dropout=0.0)
    twin = keras.models.clone_model(network)
    twin.set_weights(network.get_weights())
    model = mpl_tf.AdaMatch(network, unlabeled_weight=0.0, seed=3)
    model.compile(keras.optimizers.SGD(0.1))
    model.fit(endless(batch), steps_per_epoch=1, verbose=0)

    images = [tf.constant(batch[name]) for name in ("labeled", "weak", "strong")]
    variables = twin.trainable_variables
    statistics = [np.array(v) for v in twin.non_trainable_variables]
    with tf.GradientTape() as tape:
        alone = twin(images[0], training=True)
        for variable, value in zip(twin.non_trainable_variables, statistics, strict=True):
            variable.assign(value)
        joint = twin(tf.concat(images, 0), training=True)[:4]
        share = random.uniform(tf.constant([3, 0], tf.int64), [1, 4, 3], tf.float64)[0]
        logits = share * joint + (1 - share) * alone
        assert np.abs(joint - alone).max() > 0.01
        loss = tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(batch["label"], logits)
        )
    for variable, slope in zip(variables, tape.gradient(loss, variables), strict=True):
        variable.assign_sub(0.1 * slope)
    by_hand.assert_close(model.student.trainable_variables, variables, 1e-6)
    # Statistics that tests use are those of all images: their first values are taken as they are.
    moved = zip(twin.non_trainable_variables, statistics, strict=True)
    expected = [(np.array(v) - 0.9 * before) / 0.1 for v, before in moved]
    by_hand.assert_close(model.student.non_trainable_variables, expected, 1e-5)


def test_without_unlabeled_weight_it_is_supervised_learning(
    after_ten_steps, supervised_steps, by_hand
):
    got = after_ten_steps(mpl_tf.AdaMatch, unlabeled_weight=0.0, interpolate=False)
    by_hand.assert_close(got, supervised_steps, 1e-6)


def test_a_threshold_of_0_teaches_every_image(after_ten_steps, by_hand):
    got = [
        after_ten_steps(mpl_tf.AdaMatch, threshold=threshold, ramp_steps=0)
        for threshold in (0.0, 1e-9)
    ]
    by_hand.assert_close(*got)
