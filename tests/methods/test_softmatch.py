"""SoftMatch against hand-written numpy."""

import keras
import numpy as np
import pytest

import mpl_tf

CONTRACT = {"replicas": {"average_decay": 0.5}}


@pytest.mark.parametrize("align", [True, False])
def test_two_steps_by_hand(linear, vectors, endless, by_hand, rng, align):
    """Averages move on before they are used, and from step to step."""
    decay, weight, deviation = 0.2, 2.0, 0.4
    second = {**vectors, "weak": rng.normal(size=(6, 5)), "strong": rng.normal(size=(6, 5))}
    model = mpl_tf.SoftMatch(
        linear(5, 3),
        average_decay=decay,
        unlabeled_weight=weight,
        gaussian_deviation=deviation,
        align=align,
    )
    model.compile(keras.optimizers.SGD(0.5), weight_decay=0.1)
    weights = model.student.get_weights()
    model.fit(endless([vectors, second]), steps_per_epoch=2, verbose=0)

    shares, mean, variance = None, 1 / 3, 1.0
    for batch in (vectors, second):
        p = by_hand.softmax(by_hand.logits(batch["weak"], weights))
        recent = p.mean(axis=0)
        shares = recent if shares is None else decay * shares + (1 - decay) * recent
        a = p * (1 / 3 + 1e-6) / (shares + 1e-6) if align else p
        confidence = (a / a.sum(axis=1, keepdims=True)).max(axis=1)
        mean = decay * mean + (1 - decay) * confidence.mean()
        variance = decay * variance + (1 - decay) * confidence.var(ddof=1)
        below = np.minimum(confidence - mean, 0)
        w = np.exp(-(below**2) / (2 * deviation**2 * variance))
        assert w.min() < 0.99
        assert w.max() == 1
        pseudo = np.eye(3)[p.argmax(axis=1)]
        labeled = by_hand.softmax(by_hand.logits(batch["labeled"], weights))
        r = by_hand.softmax(by_hand.logits(batch["strong"], weights))
        parts = [
            (batch["labeled"], (labeled - np.eye(3)[batch["label"]]) / 4),
            (batch["strong"], weight * w[:, None] * (r - pseudo) / 6),
        ]
        weights = by_hand.step(weights, parts)
    by_hand.assert_close(model.student.get_weights(), weights, 1e-6)  # averages are float32
    by_hand.assert_close([model.mean.numpy(), model.variance.numpy()], [mean, variance], 1e-6)
    if align:
        by_hand.assert_close([model.class_probs.numpy()], [shares], 1e-6)


def test_without_unlabeled_weight_it_is_supervised_learning(
    after_ten_steps, supervised_steps, by_hand
):
    got = after_ten_steps(mpl_tf.SoftMatch, unlabeled_weight=0.0)
    by_hand.assert_close(got, supervised_steps, 1e-6)


def test_with_a_wide_gaussian_it_is_fixmatch_without_a_threshold(after_ten_steps, by_hand):
    expected = after_ten_steps(mpl_tf.FixMatch, threshold=0.0)
    got = after_ten_steps(mpl_tf.SoftMatch, gaussian_deviation=1e4)
    by_hand.assert_close(got, expected, 1e-6)


def test_with_a_narrow_one_what_is_surer_than_the_mean_counts(linear, vectors, endless, by_hand):
    model = mpl_tf.SoftMatch(linear(5, 3), gaussian_deviation=1e-4, average_decay=0.0, align=False)
    model.compile("sgd")
    p = by_hand.softmax(by_hand.logits(vectors["weak"], model.student.get_weights())).max(axis=1)
    logs = model.fit(endless(vectors), steps_per_epoch=1, verbose=0).history
    assert logs["mask_rate"][0] == pytest.approx(np.mean(p >= p.mean()))


def test_one_image_alone_counts(linear, random_batch, endless):
    """Its variance is none."""
    model = mpl_tf.SoftMatch(linear(5, 3), average_decay=0.0)
    model.compile("sgd")
    batch = random_batch((5,), unlabeled=1)
    logs = model.fit(endless(batch), steps_per_epoch=1, verbose=0).history
    assert logs["mask_rate"] == [1.0]
    assert np.isfinite(logs["student_loss"][0])
