"""FreeMatch against hand-written numpy."""

import keras
import numpy as np

import mpl_tf

CONTRACT = {"replicas": {"threshold_decay": 0.5, "fairness_weight": 0.5}}


def one_hot(z):
    return np.eye(3)[z.argmax(axis=1)]


def test_two_steps_by_hand(linear, vectors, endless, by_hand, rng):
    """Averages move on before they are used, and from step to step."""
    decay, weight, fair = 0.2, 2.0, 0.5
    second = {**vectors, "weak": rng.normal(size=(6, 5)), "strong": rng.normal(size=(6, 5))}
    model = mpl_tf.FreeMatch(
        linear(5, 3), threshold_decay=decay, unlabeled_weight=weight, fairness_weight=fair
    )
    model.compile(keras.optimizers.SGD(0.5), weight_decay=0.1)
    weights = model.student.get_weights()
    model.fit(endless([vectors, second]), steps_per_epoch=2, verbose=0)

    confidence, probs, shares = 1 / 3, np.full(3, 1 / 3), np.full(3, 1 / 3)
    for batch in (vectors, second):
        p = by_hand.softmax(by_hand.logits(batch["weak"], weights))
        confidence = decay * confidence + (1 - decay) * p.max(axis=1).mean()
        probs = decay * probs + (1 - decay) * p.mean(axis=0)
        shares = decay * shares + (1 - decay) * one_hot(p).mean(axis=0)
        mask = p.max(axis=1) >= (confidence * probs / probs.max())[p.argmax(axis=1)]
        assert 0 < mask.sum() < 6
        mask = mask[:, None]
        labeled = by_hand.softmax(by_hand.logits(batch["labeled"], weights))
        r = by_hand.softmax(by_hand.logits(batch["strong"], weights))
        # d fairness / d r, from loss = sum_k P_k (log u_k - log sum u), u = mean(r) / share
        expected = probs / shares / (probs / shares).sum()
        mean, share = (mask * r).mean(axis=0), (mask * one_hot(r)).mean(axis=0)
        there = share > 0
        u = np.where(there, mean / np.where(there, share, 1), 0)
        d_u = np.where(there, expected / np.where(there, u, 1), 0) - expected[there].sum() / u.sum()
        d_r = np.where(there, d_u / np.where(there, share, 1), 0) * mask / 6
        d_z = r * (d_r - (r * d_r).sum(axis=1, keepdims=True))
        parts = [
            (batch["labeled"], (labeled - np.eye(3)[batch["label"]]) / 4),
            (batch["strong"], weight * mask * (r - one_hot(p)) / 6 + fair * d_z),
        ]
        weights = by_hand.step(weights, parts)
    by_hand.assert_close(model.student.get_weights(), weights, 1e-6)  # averages are float32
    got = [model.confidence.numpy(), model.class_probs.numpy(), model.class_shares.numpy()]
    by_hand.assert_close(got, [confidence, probs, shares], 1e-6)


def test_without_unlabeled_losses_it_is_supervised_learning(
    after_ten_steps, supervised_steps, by_hand
):
    got = after_ten_steps(mpl_tf.FreeMatch, unlabeled_weight=0.0, fairness_weight=0.0)
    by_hand.assert_close(got, supervised_steps, 1e-6)


def test_at_a_fixed_threshold_without_fairness_it_is_fixmatch(after_ten_steps, by_hand):
    fixed = {"least_threshold": 0.8, "greatest_threshold": 0.8, "fairness_weight": 0.0}
    expected = after_ten_steps(mpl_tf.FixMatch, threshold=0.8)
    by_hand.assert_close(after_ten_steps(mpl_tf.FreeMatch, **fixed), expected, 1e-6)


def test_each_term_counts(after_ten_steps, supervised_steps):
    weights = [(1.0, 0.0), (0.0, 1.0)]
    for unlabeled, fairness in weights:
        got = after_ten_steps(
            mpl_tf.FreeMatch, unlabeled_weight=unlabeled, fairness_weight=fairness
        )
        assert max(np.abs(a - b).max() for a, b in zip(got, supervised_steps, strict=True)) > 1e-3
