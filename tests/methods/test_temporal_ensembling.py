"""Temporal Ensembling against hand-written numpy."""

import keras
import numpy as np
import pytest

import mpl_tf
from mpl_tf.runs.checkpoint import Checkpoints

# It averages over epochs, of which these runs have few.
CONTRACT = {"no_better_on": ("digits", "moons")}


def make(student, **hyperparameters):
    options = {"unlabeled_weight": 3.0, "ramp_steps": 0, "label_smoothing": 0.2}
    model = mpl_tf.TemporalEnsembling(student, num_unlabeled=9, **(options | hyperparameters))
    model.compile(keras.optimizers.SGD(0.5), weight_decay=0.1)
    return model


@pytest.fixture
def epochs(more_views, rng):
    """Four batches of six images of a pool of nine: an epoch and a half, twice."""
    orders = [[0, 1, 2, 3, 4, 5], [6, 7, 8, 5, 0, 1], [3, 4, 8, 2, 6, 7], [1, 0, 3, 8, 5, 4]]
    return [more_views | {"index": np.array(o), "weak": rng.normal(size=(6, 5))} for o in orders]


def test_four_steps_by_hand(linear, epochs, endless, by_hand):
    model = make(linear(5, 3), prediction_decay=0.7)
    weights = model.student.get_weights()
    model.fit(endless(epochs), steps_per_epoch=4, verbose=0)
    sums, visits = np.zeros((9, 3)), np.zeros(9)
    for batch in epochs:
        label = 0.8 * np.eye(3)[batch["label"]] + 0.2 / 3
        labeled = (by_hand.softmax(by_hand.logits(batch["labeled"], weights)) - label) / 4
        probs = by_hand.softmax(by_hand.logits(batch["weak"], weights))
        weak = np.zeros((6, 3))
        for row, i in enumerate(batch["index"]):
            if visits[i]:
                target = sums[i] / (1 - 0.7 ** visits[i])
                weak[row] = 3.0 * by_hand.error_slope(probs[row : row + 1], target)[0] / 6
            sums[i] = 0.7 * sums[i] + 0.3 * probs[row]
            visits[i] += 1
        parts = [(batch["labeled"], labeled), (batch["weak"], weak)]
        weights = by_hand.step(weights, parts)
    assert set(visits) == {2, 3}
    by_hand.assert_close(model.student.get_weights(), weights, 1e-6)  # sums are float32
    np.testing.assert_allclose(model.sums, sums, atol=1e-6)
    np.testing.assert_array_equal(model.visits, visits)


@pytest.mark.usefixtures("more_views")
def test_without_consistency_it_is_supervised_learning(after_ten_steps, supervised_steps, by_hand):
    hyperparameters = {"unlabeled_weight": 0.0, "num_unlabeled": 6}
    weights = after_ten_steps(mpl_tf.TemporalEnsembling, **hyperparameters)
    by_hand.assert_close(weights, supervised_steps, 1e-6)


def test_the_weight_rises(linear, epochs, endless):
    risen, young = (make(linear(5, 3), ramp_steps=n) for n in (0, 1000))
    young.student.set_weights(risen.student.get_weights())
    logs = []
    for model in (risen, young):
        history = model.fit(endless(epochs[:1]), steps_per_epoch=1, epochs=2, verbose=0).history
        logs.append({name: values[1] for name, values in history.items()})
    assert logs[0]["unlabeled_loss"] > 0
    for losses, weight in zip(logs, (3.0, 3.0 * np.exp(-5 * 0.999**2)), strict=True):
        expected = losses["supervised_loss"] + weight * losses["unlabeled_loss"]
        assert losses["student_loss"] == pytest.approx(expected, abs=1e-6)


def test_predictions_are_part_of_a_checkpoint(linear, epochs, endless, tmp_path, by_hand):
    model = make(linear(5, 3))
    model.fit(endless(epochs), steps_per_epoch=2, verbose=0)
    Checkpoints(model, str(tmp_path)).save(2)
    model.fit(endless(epochs[2:]), steps_per_epoch=2, verbose=0)
    again = make(linear(5, 3))
    assert Checkpoints(again, str(tmp_path)).restore() == 2
    again.fit(endless(epochs[2:]), steps_per_epoch=2, verbose=0)
    by_hand.assert_identical(model.weights, again.weights)


def test_a_pool_has_images(linear):
    with pytest.raises(mpl_tf.ConfigError, match="whole number of at least 1; received 0"):
        mpl_tf.TemporalEnsembling(linear(5, 3), num_unlabeled=0)
