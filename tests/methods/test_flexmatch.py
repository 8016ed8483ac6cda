"""FlexMatch against hand-written numpy."""

import keras
import numpy as np
import pytest

import mpl_tf

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
    def make_method(student, **hyperparameters):
        return mpl_tf.FlexMatch(student, num_unlabeled=9, **hyperparameters)

    weights = after_ten_steps(make_method, unlabeled_weight=0.0)
    by_hand.assert_close(weights, supervised_steps, 1e-6)
