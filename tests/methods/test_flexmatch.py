"""FlexMatch against hand-written numpy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import mpl_tf
from mpl_tf.formulas import thresholds

CONTRACT = {"replicas": {"threshold": 0.4}}  # some images pass, others do not


@pytest.fixture
def pool(vectors):
    """`vectors`, whose unlabeled images are those at `index` of a pool of 9."""
    vectors["index"] = np.array([4, 0, 8, 3, 7, 1])
    return vectors


def test_three_steps_by_hand(linear, pool, endless, by_hand, rng):
    tau, weight = 0.6, 2.0
    second = {**pool, "weak": rng.normal(size=(6, 5)), "index": np.array([4, 2, 8, 5, 7, 6])}
    model = mpl_tf.FlexMatch(
        linear(5, 3), num_unlabeled=9, threshold=tau, unlabeled_weight=weight, label_smoothing=0.2
    )
    model.compile(keras.optimizers.SGD(0.5), weight_decay=0.1)
    weights = model.student.get_weights()
    model.fit(endless([pool, second]), steps_per_epoch=3, verbose=0)

    learned, rates = np.full(9, -1), []
    for batch in (pool, second, pool):
        counts = np.array([(learned == k).sum() for k in range(3)])
        beta = counts / max(counts.max(), (learned == -1).sum())
        p = by_hand.softmax(by_hand.logits(batch["weak"], weights))
        top, confidence = p.argmax(axis=1), p.max(axis=1)
        mask = confidence >= tau * (beta / (2 - beta))[top]
        rates.append(mask.mean())
        labeled = by_hand.softmax(by_hand.logits(batch["labeled"], weights))
        strong = by_hand.softmax(by_hand.logits(batch["strong"], weights)) - np.eye(3)[top]
        parts = [
            (batch["labeled"], (labeled - 0.8 * np.eye(3)[batch["label"]] - 0.2 / 3) / 4),
            (batch["strong"], weight * mask[:, None] * strong / 6),
        ]
        weights = by_hand.step(weights, parts)
        sure = confidence >= tau
        assert 0 < sure.sum() < 6
        learned[batch["index"][sure]] = top[sure]
    assert rates[0] == 1.0 > rates[-1]  # nothing is learned at first, so all pass
    by_hand.assert_close(model.student.get_weights(), weights)
    np.testing.assert_array_equal(model.learned, learned)


def test_without_unlabeled_loss_it_is_supervised_learning(
    pool, after_ten_steps, supervised_steps, by_hand
):
    def kind(student, **hyperparameters):
        return mpl_tf.FlexMatch(student, num_unlabeled=9, **hyperparameters)

    got = after_ten_steps(kind, unlabeled_weight=0.0)
    by_hand.assert_close(got, supervised_steps, 1e-6)


def test_thresholds_by_hand():
    learned = tf.constant([0, 0, 0, 0, 1, 1, -1, -1, -1, -1, -1, -1, -1, -1])
    assert_thresholds = np.testing.assert_allclose
    half, quarter = 0.9 / 3, 0.9 / 7  # b / (2 - b) of 1/2 and of 1/4
    assert_thresholds(
        thresholds.curriculum(learned, 3, 0.9, True, "convex"), [half, quarter, 0], rtol=1e-6
    )
    assert_thresholds(
        thresholds.curriculum(learned, 3, 0.9, False, "convex"), [0.9, half, 0], rtol=1e-6
    )
    assert_thresholds(
        thresholds.curriculum(learned, 3, 0.9, True, "linear"), [0.45, 0.225, 0], rtol=1e-6
    )
    assert_thresholds(
        thresholds.curriculum(learned, 3, 0.9, True, "concave"),
        0.9 * np.log2([1.5, 1.25, 1]),
        rtol=1e-6,
    )
    nothing = -tf.ones([4], tf.int32)
    for warmup in (True, False):
        assert not np.any(thresholds.curriculum(nothing, 3, 0.9, warmup, "convex"))


def test_confident_predictions_replace_older_ones_and_others_do_not():
    learned = tf.constant([2, 1, -1, -1, 0])
    index, label = tf.constant([0, 1, 3, 4, 4], tf.int64), tf.constant([1, -1, 2, 1, -1], tf.int64)
    after = thresholds.remember(learned, index, label)
    np.testing.assert_array_equal(after, [1, 1, -1, 2, 1])
    assert after.dtype == learned.dtype
